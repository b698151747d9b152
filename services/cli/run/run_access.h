#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "absl/status/statusor.h"
#include "demorl/config/v1/run.pb.h"
#include "services/cli/run/run_monitor.h"

namespace demorl {

// The configuration of the run in a folder. NOT_FOUND naming the folder if it holds none.
absl::StatusOr<demorl::config::v1::RunConfig> ReadRunConfig(const std::filesystem::path& folder);

// The configuration of a run folder with the addresses of the services that are running for it. UNAVAILABLE
// if none have been started there.
absl::StatusOr<demorl::config::v1::RunConfig> ReadServicesFile(const std::filesystem::path& folder);

// Channels to the services of a run at the addresses of its configuration.
absl::StatusOr<ServiceChannels> ConnectToServices(const demorl::config::v1::RunConfig& config);

// Both.
absl::StatusOr<ServiceChannels> ConnectToRun(const std::filesystem::path& folder);

// Who the commands are towards a run's services: what its configuration says of the service "operator",
// unless the environment names a folder (DEMORL_TLS_DIR) or a token (DEMORL_TOKEN_FILE) of the caller's own.
demorl::config::v1::SecurityConfig OperatorSecurity(const demorl::config::v1::RunConfig& config);

// Writes, and removes, the file that ConnectToRun reads.
absl::Status WriteServicesFile(const std::filesystem::path& folder,
                               const demorl::config::v1::RunConfig& config);
void RemoveServicesFile(const std::filesystem::path& folder);

// A policy snapshot file of a run: that version, or the newest for 0. NOT_FOUND listing the versions that
// exist.
absl::StatusOr<std::filesystem::path> FindPolicyFile(const std::filesystem::path& folder, uint64_t version);

}  // namespace demorl
