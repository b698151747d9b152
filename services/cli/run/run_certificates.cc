#include "services/cli/run/run_certificates.h"

#include <array>
#include <string>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/status_macros.h"
#include "common/rpc/security/transport_security.h"
#include "services/cli/certs/dialled_names.h"
#include "services/cli/run/service_names.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;
using ::demorl::config::v1::RunConfig;

// Who only dials: `demorl follow`, and the other commands.
constexpr std::array<const char*, 2> kClients = {"evaluator", "operator"};

// "leg_gateway" is "gateway/leg"; all others have a role of their own.
std::string PeerOf(const std::string& service) {
  absl::string_view robot = service;
  return absl::ConsumeSuffix(&robot, "_gateway") ? absl::StrCat("gateway/", robot) : service;
}

absl::StatusOr<fs::path> TlsDirOf(const RunConfig& config, const std::string& service,
                                  const fs::path& folder) {
  if (!folder.empty()) {
    return folder / service;
  }
  if (!absl::StrContains(config.security().tls_dir(), "${SERVICE}")) {
    return absl::InvalidArgumentError(
        absl::StrCat("security.tls_dir of the run is \"", config.security().tls_dir(),
                     "\"; want ${SERVICE} in it, or --out FOLDER for a folder of each service's below it"));
  }
  return SecurityOfService(config.security(), service).tls_dir();
}

absl::StatusOr<CertificateRequest> CertificateOf(const RunConfig& config, const std::string& service,
                                                 const fs::path& folder) {
  CertificateRequest request = {.peer = PeerOf(service)};
  ASSIGN_OR_RETURN(request.out, TlsDirOf(config, service, folder));
  if (absl::c_linear_search(kClients, service)) {
    return request;
  }
  RunConfig all = config;
  const absl::StatusOr<DialledNames> names = NamesDialledAt(MutableServerConfig(service, &all)->address());
  if (!names.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("services.", service, ".address: ", names.status().message()));
  }
  request.dns_names = names->dns_names;
  request.addresses = names->addresses;
  return request;
}

}  // namespace

absl::StatusOr<std::vector<CertificateRequest>> CertificatesOfRun(const RunConfig& config,
                                                                  const fs::path& folder) {
  std::vector<std::string> peers = ServicesOf(config);
  peers.insert(peers.end(), kClients.begin(), kClients.end());
  std::vector<CertificateRequest> requests;
  for (const std::string& peer : peers) {
    ASSIGN_OR_RETURN(CertificateRequest request, CertificateOf(config, peer, folder));
    requests.push_back(std::move(request));
  }
  return requests;
}

}  // namespace demorl
