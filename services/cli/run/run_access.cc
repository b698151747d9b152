#include "services/cli/run/run_access.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"
#include "common/config/loader.h"
#include "common/rpc/channel_factory.h"
#include "services/cli/run/service_names.h"

namespace demorl {

namespace fs = std::filesystem;
using ::demorl::config::v1::RunConfig;

absl::StatusOr<RunConfig> ReadRunConfig(const fs::path& folder) {
  const fs::path file = folder / "config.textproto";
  if (!fs::exists(file)) {
    return absl::NotFoundError(
        absl::StrCat(folder.string(), " holds no config.textproto; want the folder of a run"));
  }
  RunConfig config;
  RETURN_IF_ERROR(MergeTextProtoFile(file, &config));
  return config;
}

absl::StatusOr<RunConfig> ReadServicesFile(const fs::path& folder) {
  RETURN_IF_ERROR(ReadRunConfig(folder).status());
  RunConfig config;
  if (!fs::exists(folder / kServicesFile)) {
    return absl::UnavailableError(absl::StrCat("no services are running for ", folder.string(), " (no ",
                                               kServicesFile, " in it); want a run that is going on"));
  }
  RETURN_IF_ERROR(MergeTextProtoFile(folder / kServicesFile, &config));
  return config;
}

absl::StatusOr<ServiceChannels> ConnectToServices(const RunConfig& config) {
  ASSIGN_OR_RETURN(const std::unique_ptr<TransportSecurity> security,
                   TransportSecurity::Create(OperatorSecurity(config)));
  RunConfig all = config;
  ServiceChannels channels;
  for (const std::string& service : ServicesOf(config)) {
    channels[service] = MakeChannel(MutableServerConfig(service, &all)->address(), nullptr, security.get());
  }
  return channels;
}

absl::StatusOr<ServiceChannels> ConnectToRun(const fs::path& folder) {
  ASSIGN_OR_RETURN(const RunConfig config, ReadServicesFile(folder));
  return ConnectToServices(config);
}

demorl::config::v1::SecurityConfig OperatorSecurity(const RunConfig& config) {
  demorl::config::v1::SecurityConfig security = SecurityOfService(config.security(), "operator");
  if (const char* folder = getenv("DEMORL_TLS_DIR")) {
    security.set_tls_dir(folder);
  }
  if (const char* file = getenv("DEMORL_TOKEN_FILE")) {
    security.set_token_file(file);
  }
  security.clear_accepted_tokens_file();
  return security;
}

absl::Status WriteServicesFile(const fs::path& folder, const RunConfig& config) {
  return WriteFileAtomically(folder / kServicesFile, ToTextProto(config));
}

void RemoveServicesFile(const fs::path& folder) {
  std::error_code ignored;
  fs::remove(folder / kServicesFile, ignored);
}

absl::StatusOr<fs::path> FindPolicyFile(const fs::path& folder, uint64_t version) {
  RETURN_IF_ERROR(ReadRunConfig(folder).status());
  const fs::path policies = folder / ServiceFolder("snapshot") / "policy";
  std::vector<std::pair<uint64_t, fs::path>> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(policies, error)) {
    uint64_t number = 0;
    if (entry.path().extension() == ".safetensors" &&
        absl::SimpleAtoi(entry.path().stem().string(), &number)) {
      found.emplace_back(number, entry.path());
    }
  }
  std::sort(found.begin(), found.end());
  for (const auto& [number, path] : found) {
    if (number == version) {
      return path;
    }
  }
  if (version == 0 && !found.empty()) {
    return found.back().second;
  }
  if (found.empty()) {
    return absl::NotFoundError(absl::StrCat("no policy in ", policies.string(),
                                            "; the run has published none yet, or acts by plans alone"));
  }
  return absl::NotFoundError(absl::StrCat(
      "no policy ", version == 0 ? "" : absl::StrCat("version ", version, " "), "in ", policies.string(),
      "; there are versions: ", absl::StrJoin(found, ", ", [](std::string* out, const auto& entry) {
        absl::StrAppend(out, entry.first);
      })));
}

}  // namespace demorl
