#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "demorl/config/v1/run.pb.h"
#include "services/cli/run/run_config.h"

namespace demorl {

// The options that `train`, `up`, `compare` and `check-config` share.
struct RunOptions {
  RunRequest request;
  std::string out;
};

// Adds --env, --algorithm, --preset, --steps, --seed, --set, --device and, when asked for, --config and
// --out.
void AddRunOptions(CLI::App& command, RunOptions* options, bool with_config, bool with_out);

// The configuration that the options mean. An unknown environment is NOT_FOUND with the nearest known ids.
absl::StatusOr<demorl::config::v1::RunConfig> ResolveOptions(const RunOptions& options);

// --out, or runs/<environment>-<algorithm>-seed<seed>.
std::filesystem::path OutFolder(const RunOptions& options, const demorl::config::v1::RunConfig& config);

// Prints "demorl <command>: <message>" on standard error and returns 1; 0 for OK.
int ReportStatus(const std::string& command, const absl::Status& status);

}  // namespace demorl
