#include "services/cli/commands/run_options.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "services/cli/run/task_lookup.h"

namespace demorl {

using ::demorl::config::v1::RunConfig;

void AddRunOptions(CLI::App& command, RunOptions* options, bool with_config, bool with_out) {
  RunRequest& request = options->request;
  command.add_option("--env", request.environment_id, "Environment id, for example HalfCheetah-v5");
  command.add_option("--algorithm", request.algorithm, "mdemorl, mopac, mbpo, sac, ...")
      ->capture_default_str();
  command.add_option("--preset", request.preset, "A named preset on top of those of algorithm and task");
  command.add_option_function<int64_t>(
      "--steps", [&request](const int64_t& steps) { request.environment_steps = steps; },
      "Environment steps");
  command.add_option_function<uint64_t>(
      "--seed", [&request](const uint64_t& seed) { request.seed = seed; }, "Seed");
  command.add_option_function<std::string>(
      "--device", [&request](const std::string& device) { request.device = device; }, "auto, cpu or cuda");
  command.add_option("--set", request.overrides, "path=value, for example sac.batch_size=512; repeatable")
      ->allow_extra_args(false);
  if (with_config) {
    command.add_option("--config", request.config_file, "A configuration (text proto) on top of the presets");
  }
  if (with_out) {
    command.add_option("--out", options->out, "Run folder; runs/<env>-<algorithm>-seed<seed> if not given");
  }
}

absl::StatusOr<RunConfig> ResolveOptions(const RunOptions& options) {
  const RunRequest& request = options.request;
  if (request.environment_id.empty() && request.config_file.empty()) {
    return absl::InvalidArgumentError(
        "no environment given; want --env ID, for example --env InvertedPendulum-v5");
  }
  if (!request.environment_id.empty()) {
    RETURN_IF_ERROR(CheckTaskExists(request.environment_id));
  }
  ASSIGN_OR_RETURN(const std::filesystem::path presets, FindPresetsFolder());
  ASSIGN_OR_RETURN(RunConfig config, ResolveRunConfig(request, presets));
  RETURN_IF_ERROR(CheckTaskExists(config.environment()));
  return config;
}

std::filesystem::path OutFolder(const RunOptions& options, const RunConfig& config) {
  if (!options.out.empty()) {
    return options.out;
  }
  return std::filesystem::path("runs") /
         absl::StrCat(config.environment(), "-", config.algorithm(), "-seed", config.seed());
}

int ReportStatus(const std::string& command, const absl::Status& status) {
  if (status.ok()) {
    return 0;
  }
  std::fprintf(stderr, "demorl %s: %s\n", command.c_str(), std::string(status.message()).c_str());
  return 1;
}

}  // namespace demorl
