#include <cstdio>
#include <filesystem>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"
#include "common/config/complete_run.h"
#include "common/rpc/security/certificate.h"
#include "services/cli/certs/authority_folder.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/run_options.h"
#include "services/cli/run/run_access.h"
#include "services/cli/run/run_certificates.h"
#include "services/cli/run/run_config.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;
using ::demorl::config::v1::RunConfig;

struct CertsOptions {
  std::string folder = "certs";
  std::string trust_domain = "demorl.local";
  int authority_days = 3650;
  CertificateRequest request;
  std::string out;
  // Folder or configuration of a run whose services want certificates.
  std::string run;
  bool with_authority = false;
};

absl::Status Init(const CertsOptions& options) {
  RETURN_IF_ERROR(
      AuthorityFolder::Init(options.folder, options.trust_domain, options.authority_days).status());
  std::printf("an authority of %s in %s; keep its ca.key where no service runs\n",
              options.trust_domain.c_str(), options.folder.c_str());
  return absl::OkStatus();
}

absl::Status IssueOne(const CertsOptions& options) {
  if (options.with_authority) {
    return absl::InvalidArgumentError(
        "--init goes with --run, which tells the trust domain; want `demorl certs init` first");
  }
  ASSIGN_OR_RETURN(AuthorityFolder authority, AuthorityFolder::Open(options.folder));
  CertificateRequest request = options.request;
  request.out = options.out;
  ASSIGN_OR_RETURN(const fs::path out, authority.Issue(request));
  std::printf("%s: tls.crt, tls.key, ca.crt of %s for %d days\n", out.c_str(), request.peer.c_str(),
              request.days);
  return absl::OkStatus();
}

absl::StatusOr<RunConfig> ReadRun(const fs::path& run) {
  if (fs::exists(run / "config.textproto")) {
    return ReadRunConfig(run);
  }
  if (fs::is_directory(run)) {
    return LoadRunConfig(run, {});
  }
  ASSIGN_OR_RETURN(const fs::path presets, FindPresetsFolder());
  return ResolveRunConfig({.config_file = run}, presets);
}

absl::StatusOr<AuthorityFolder> AuthorityOf(const CertsOptions& options, const std::string& trust_domain) {
  const bool is_there = fs::exists(fs::path(options.folder) / "ca.key");
  if (options.with_authority && !is_there) {
    RETURN_IF_ERROR(AuthorityFolder::Init(options.folder, trust_domain, options.authority_days).status());
    std::printf("%s: a new authority of %s\n", options.folder.c_str(), trust_domain.c_str());
  }
  ASSIGN_OR_RETURN(AuthorityFolder authority, AuthorityFolder::Open(options.folder));
  if (authority.trust_domain() != trust_domain) {
    return absl::FailedPreconditionError(
        absl::StrCat("the authority in ", options.folder, " is of \"", authority.trust_domain(),
                     "\", security.trust_domain of the run is \"", trust_domain, "\"; want the same"));
  }
  return authority;
}

absl::Status IssueForRun(const CertsOptions& options) {
  ASSIGN_OR_RETURN(const RunConfig config, ReadRun(options.run));
  ASSIGN_OR_RETURN(const std::vector<CertificateRequest> requests, CertificatesOfRun(config, options.out));
  ASSIGN_OR_RETURN(AuthorityFolder authority, AuthorityOf(options, config.security().trust_domain()));
  for (CertificateRequest request : requests) {
    request.days = options.request.days;
    const bool is_dialled = !request.dns_names.empty() || !request.addresses.empty();
    if (is_dialled) {
      absl::c_copy(options.request.dns_names, std::back_inserter(request.dns_names));
      absl::c_copy(options.request.addresses, std::back_inserter(request.addresses));
    }
    ASSIGN_OR_RETURN(const std::string reason, authority.IssueIfDue(request));
    ASSIGN_OR_RETURN(const std::string text, ReadFile(request.out / "tls.crt"));
    ASSIGN_OR_RETURN(const Certificate certificate, ReadCertificate(text));
    std::printf("%s: %s until %s, %s\n", request.out.c_str(), request.peer.c_str(),
                absl::FormatTime("%Y-%m-%d", certificate.not_after, absl::UTCTimeZone()).c_str(),
                reason.empty() ? "as it was" : absl::StrCat("issued now: ", reason).c_str());
  }
  return absl::OkStatus();
}

absl::Status Issue(const CertsOptions& options) {
  if (options.request.peer.empty() == options.run.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.run.empty() ? "neither a peer nor --run" : "both a peer and --run",
                     "; want <role>[/<name>], or --run with the folder or configuration of a run"));
  }
  return options.run.empty() ? IssueOne(options) : IssueForRun(options);
}

absl::Status Revoke(const CertsOptions& options) {
  ASSIGN_OR_RETURN(AuthorityFolder authority, AuthorityFolder::Open(options.folder));
  ASSIGN_OR_RETURN(const int num_revoked, authority.Revoke(options.request.peer));
  std::printf("%d certificates of %s revoked, for all whose security.crl_dir has %s/crl/authority.crl\n",
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
  issue->add_option("peer", options->request.peer, "<role>[/<name>], actor/actor-0 say");
  issue->add_option(
      "--run", options->run,
      "instead of a peer, a run's folder or configuration: one for each of its services, by the names "
      "at which they dial each other, and one each for evaluator and operator, where they are missing or "
      "due");
  issue->add_flag("--init", options->with_authority,
                  "with --run, makes the authority first where there is none");
  issue->add_option("--dns", options->request.dns_names, "a name at which others dial it; may be repeated")
      ->allow_extra_args(false);
  issue->add_option("--ip", options->request.addresses, "an address at which others dial it; may be repeated")
      ->allow_extra_args(false);
  issue->add_option("--days", options->request.days, "how long it is valid")->capture_default_str();
  issue->add_option("--out", options->out,
                    "the tls_dir to fill, <dir>/<role>[-<name>] by default; with --run the folder of all "
                    "tls_dirs, by default what security.tls_dir says");

  CLI::App* revoke = add("revoke", "takes a peer's certificates back", Revoke);
  revoke->add_option("peer", options->request.peer, "<role>[/<name>]")->required();
}

}  // namespace demorl
