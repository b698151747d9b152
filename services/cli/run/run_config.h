#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "demorl/config/v1/run.pb.h"

namespace demorl {

// What a user asks for on the command line.
struct RunRequest {
  // Environment and algorithm of the configuration file, or mdemorl, when empty.
  std::string environment_id;
  std::string algorithm;
  // A file of presets/named, merged after those of algorithm and task; none when empty.
  std::string preset;
  // A text proto of the user's own, merged after the presets; none when empty. One that carries a run_id is
  // complete, and no preset is merged below it.
  std::string config_file;
  std::optional<int64_t> environment_steps;
  std::optional<uint64_t> seed;
  std::optional<std::string> device;
  // "path=value", applied last.
  std::vector<std::string> overrides;
};

// The folder of preset files: $DEMORL_PRESETS_DIR, or share/demorl/presets beside the running program's
// folder. NOT_FOUND naming both when neither exists.
absl::StatusOr<std::filesystem::path> FindPresetsFolder();

// Merges, in this order: algorithms/<algorithm>, tasks/<task>, tasks/<task>.<algorithm>, the named preset,
// the request's own values, the overrides. `task` is the environment id without its version. Then completes
// and validates. NOT_FOUND for an unknown algorithm or preset, naming the known ones. Values in files win
// over defaults only.
absl::StatusOr<demorl::config::v1::RunConfig> ResolveRunConfig(const RunRequest& request,
                                                               const std::filesystem::path& presets_folder);

// Checks ranges, and what no single field can say. INVALID_ARGUMENT naming the fields.
absl::Status ValidateRunConfig(const demorl::config::v1::RunConfig& config);

// Where plans act: UNIMPLEMENTED for a deterministic run and outside native environments, INVALID_ARGUMENT
// for more environments than a planner has streams.
absl::Status CheckTrainable(const demorl::config::v1::RunConfig& config);

}  // namespace demorl
