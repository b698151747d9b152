#include "services/cli/run/run_config.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "common/base/nearest_names.h"
#include "common/base/status_macros.h"
#include "common/config/complete_run.h"
#include "common/config/loader.h"
#include "common/config/run_modes.h"
#include "services/cli/run/task_lookup.h"
#include "services/mpc_rollout/mpc_rollout_client.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;
using ::demorl::config::v1::RunConfig;

constexpr absl::string_view kExtension = ".textproto";

std::string TaskName(const std::string& environment_id) {
  const size_t version = environment_id.rfind("-v");
  return environment_id.substr(0, version);
}

fs::path PresetFile(const fs::path& folder, absl::string_view kind, absl::string_view name) {
  return folder / std::string(kind) / absl::StrCat(name, kExtension);
}

std::vector<std::string> KnownPresets(const fs::path& folder, absl::string_view kind) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder / std::string(kind), error)) {
    if (entry.path().extension() == std::string(kExtension)) {
      names.push_back(entry.path().stem());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status MergeRequired(const fs::path& folder, absl::string_view kind, const std::string& name,
                           RunConfig* config) {
  const fs::path file = PresetFile(folder, kind, name);
  if (!fs::exists(file)) {
    return absl::NotFoundError(absl::StrCat("no preset '", name, "' under ", kind,
                                            "; known: ", absl::StrJoin(KnownPresets(folder, kind), ", ")));
  }
  return MergeTextProtoFile(file, config);
}

absl::Status MergeOptional(const fs::path& folder, const std::string& name, RunConfig* config) {
  const fs::path file = PresetFile(folder, "tasks", name);
  return fs::exists(file) ? MergeTextProtoFile(file, config) : absl::OkStatus();
}

// Algorithm, task and named presets for what `own` (the user's file) and the request ask.
absl::Status MergePresets(const RunRequest& request, const RunConfig& own, const fs::path& folder,
                          RunConfig* config) {
  const std::string algorithm = !request.algorithm.empty() ? request.algorithm
                                : own.has_algorithm()      ? own.algorithm()
                                                           : "mdemorl";
  const std::string task =
      TaskName(request.environment_id.empty() ? own.environment() : request.environment_id);
  RETURN_IF_ERROR(MergeRequired(folder, "algorithms", algorithm, config));
  config->set_algorithm(algorithm);
  RETURN_IF_ERROR(MergeOptional(folder, task, config));
  RETURN_IF_ERROR(MergeOptional(folder, absl::StrCat(task, ".", algorithm), config));
  const std::string preset = request.preset.empty() ? own.preset() : request.preset;
  return preset.empty() ? absl::OkStatus() : MergeRequired(folder, "named", preset, config);
}

void ApplyRequest(const RunRequest& request, RunConfig* config) {
  if (!request.environment_id.empty()) {
    config->set_environment(request.environment_id);
  }
  if (!request.algorithm.empty()) {
    config->set_algorithm(request.algorithm);
  }
  if (!request.preset.empty()) {
    config->set_preset(request.preset);
  }
  if (request.environment_steps.has_value()) {
    config->set_environment_steps(*request.environment_steps);
  }
  if (request.seed.has_value()) {
    config->set_seed(*request.seed);
  }
  if (request.device.has_value()) {
    config->set_device(*request.device);
  }
}

absl::Status Require(bool condition, absl::string_view message) {
  return condition ? absl::OkStatus() : absl::InvalidArgumentError(message);
}

absl::Status ValidateModelBased(const RunConfig& config) {
  RETURN_IF_ERROR(
      Require(config.model().num_elite_members() <= config.model().ensemble_size(),
              absl::StrCat("model.num_elite_members = ", config.model().num_elite_members(),
                           "; want at most model.ensemble_size = ", config.model().ensemble_size())));
  const int decays = config.model().weight_decay_size();
  const int layers = (config.model().hidden_sizes_size() == 0 ? 4 : config.model().hidden_sizes_size()) + 1;
  RETURN_IF_ERROR(
      Require(decays == 0 || decays == layers,
              absl::StrCat("model.weight_decay has ", decays, " values; want one per layer, ", layers)));
  for (const double ratio :
       {config.sac().real_ratio().start_value(), config.sac().real_ratio().end_value()}) {
    RETURN_IF_ERROR(
        Require(ratio >= 0 && ratio <= 1, absl::StrCat("sac.real_ratio = ", ratio, "; want 0 to 1")));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<fs::path> FindPresetsFolder() {
  std::vector<fs::path> candidates;
  if (const char* folder = std::getenv("DEMORL_PRESETS_DIR"); folder != nullptr) {
    candidates.emplace_back(folder);
  }
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  candidates.push_back(program.parent_path().parent_path() / "share" / "demorl" / "presets");
  for (const fs::path& candidate : candidates) {
    if (fs::is_directory(candidate)) {
      return candidate;
    }
  }
  return absl::NotFoundError(absl::StrCat(
      "no presets folder; looked at ",
      absl::StrJoin(candidates, " and ",
                    [](std::string* out, const fs::path& path) { absl::StrAppend(out, path.string()); }),
      "; set DEMORL_PRESETS_DIR"));
}

absl::StatusOr<RunConfig> ResolveRunConfig(const RunRequest& request, const fs::path& presets_folder) {
  RunConfig own;
  if (!request.config_file.empty()) {
    RETURN_IF_ERROR(MergeTextProtoFile(request.config_file, &own));
  }
  RunConfig config;
  if (!own.has_run_id()) {
    RETURN_IF_ERROR(MergePresets(request, own, presets_folder, &config));
  }
  config.MergeFrom(own);
  config.clear_run_id();
  ApplyRequest(request, &config);
  for (const std::string& assignment : request.overrides) {
    RETURN_IF_ERROR(ApplyOverride(assignment, &config));
  }
  CompleteRunConfig(&config);
  RETURN_IF_ERROR(ValidateRunConfig(config));
  return config;
}

absl::Status CheckTrainable(const RunConfig& config) {
  if (!ActsByPlans(config)) {
    return absl::OkStatus();
  }
  const std::string asked = absl::StrCat(
      "algorithm '", config.algorithm(),
      "' (planner.sink = ", demorl::config::v1::PlanSink_Name(config.planner().sink()), ") acts by plans");
  if (config.has_robot()) {
    return absl::UnimplementedError(
        absl::StrCat(asked, ", but the gateway of a robot follows the policy; want an algorithm that does"));
  }
  if (config.deterministic()) {
    return absl::UnimplementedError(
        absl::StrCat(asked, ", which --deterministic cannot; want an algorithm whose policy acts"));
  }
  // Evaluations have one stream per thread.
  if (config.actor().num_environments() + config.actor().num_threads() > kMaxPlanStreams) {
    return absl::InvalidArgumentError(absl::StrCat(
        asked, "; actor.num_environments = ", config.actor().num_environments(), " and actor.num_threads = ",
        config.actor().num_threads(), " want more than ", kMaxPlanStreams, " streams of plans together"));
  }
  if (!IsNativeTask(config.environment())) {
    return absl::UnimplementedError(absl::StrCat(asked, ", but the Python actor of ", config.environment(),
                                                 " follows the policy; want a native environment"));
  }
  return absl::OkStatus();
}

absl::Status ValidateRunConfig(const RunConfig& config) {
  RETURN_IF_ERROR(ValidateRanges(config));
  RETURN_IF_ERROR(
      Require(!config.environment().empty(), "environment is not set; want an id such as HalfCheetah-v5"));
  RETURN_IF_ERROR(Require(config.device() == "auto" || config.device() == "cpu" || config.device() == "cuda",
                          absl::StrCat("device = '", config.device(), "'; want auto, cpu or cuda")));
  RETURN_IF_ERROR(Require(config.sac().learning_starts() < config.environment_steps(),
                          absl::StrCat("sac.learning_starts = ", config.sac().learning_starts(),
                                       "; want less than environment_steps = ", config.environment_steps())));
  RETURN_IF_ERROR(Require(config.sac().log_stddev_min() < config.sac().log_stddev_max(),
                          "sac.log_stddev_min is not below sac.log_stddev_max"));
  return config.model_based() ? ValidateModelBased(config) : absl::OkStatus();
}

}  // namespace demorl
