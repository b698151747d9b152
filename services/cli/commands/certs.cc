#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "services/cli/certs/authority_folder.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/run_options.h"

namespace demorl {
namespace {

struct CertsOptions {
  std::string folder = "certs";
  std::string trust_domain = "demorl.local";
  int authority_days = 3650;
  CertificateRequest request;
  std::string out;
};

absl::Status Init(const CertsOptions& options) {
  RETURN_IF_ERROR(
      AuthorityFolder::Init(options.folder, options.trust_domain, options.authority_days).status());
  std::printf("an authority of %s in %s; keep its ca.key where no service runs\n",
              options.trust_domain.c_str(), options.folder.c_str());
  return absl::OkStatus();
}

absl::Status Issue(const CertsOptions& options) {
  ASSIGN_OR_RETURN(AuthorityFolder authority, AuthorityFolder::Open(options.folder));
  CertificateRequest request = options.request;
  request.out = options.out;
  ASSIGN_OR_RETURN(const std::filesystem::path out, authority.Issue(request));
  std::printf("%s: tls.crt, tls.key, ca.crt of %s for %d days\n", out.c_str(), request.peer.c_str(),
              request.days);
  return absl::OkStatus();
}

absl::Status Revoke(const CertsOptions& options) {
  ASSIGN_OR_RETURN(AuthorityFolder authority, AuthorityFolder::Open(options.folder));
  ASSIGN_OR_RETURN(const int num_revoked, authority.Revoke(options.request.peer));
  std::printf("%d certificates of %s revoked; copy %s/crl/authority.crl to where security.crl_dir is\n",
              num_revoked, options.request.peer.c_str(), options.folder.c_str());
  return absl::OkStatus();
}

}  // namespace

void AddCertsCommand(CLI::App& app, int* exit_status) {
  auto options = std::make_shared<CertsOptions>();
  CLI::App* certs =
      app.add_subcommand("certs", "an authority for TLS between services, for those without one");
  certs->require_subcommand(1);
  const auto add = [=](const char* name, const char* help, absl::Status (*action)(const CertsOptions&)) {
    CLI::App* command = certs->add_subcommand(name, help);
    command->add_option("--dir", options->folder, "the authority's folder")->capture_default_str();
    command->callback([=] { *exit_status = ReportStatus(absl::StrCat("certs ", name), action(*options)); });
    return command;
  };
  CLI::App* init = add("init", "makes the authority", Init);
  init->add_option("--trust-domain", options->trust_domain, "as in security.trust_domain")
      ->capture_default_str();
  init->add_option("--days", options->authority_days, "how long it is valid")->capture_default_str();

  CLI::App* issue = add("issue", "issues a certificate, or the next one in its place", Issue);
  issue->add_option("peer", options->request.peer, "<role>[/<name>], actor/actor-0 say")->required();
  issue->add_option("--dns", options->request.dns_names, "a name at which others dial it; may be repeated")
      ->allow_extra_args(false);
  issue->add_option("--ip", options->request.addresses, "an address at which others dial it; may be repeated")
      ->allow_extra_args(false);
  issue->add_option("--days", options->request.days, "how long it is valid")->capture_default_str();
  issue->add_option("--out", options->out, "the tls_dir to fill; <dir>/<role>[-<name>] by default");

  CLI::App* revoke = add("revoke", "takes a peer's certificates back", Revoke);
  revoke->add_option("peer", options->request.peer, "<role>[/<name>]")->required();
}

}  // namespace demorl
