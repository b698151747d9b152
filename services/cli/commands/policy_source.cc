#include "services/cli/commands/policy_source.h"

#include "absl/strings/str_cat.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"
#include "services/cli/run/run_access.h"

namespace demorl {

void AddPolicySourceOptions(CLI::App& command, PolicySourceOptions* options) {
  command.add_option("--run", options->run, "Run folder");
  command.add_option("--version", options->version, "Policy version of the run; the newest if not given");
  command.add_option("--policy", options->policy_file, "A policy file (safetensors) instead of a run");
  command.add_option("--env", options->environment_id, "Environment id; that of the run if not given");
}

absl::StatusOr<PolicySource> LoadPolicySource(const PolicySourceOptions& options) {
  PolicySource source;
  source.environment_id = options.environment_id;
  if (!options.run.empty() && options.policy_file.empty()) {
    ASSIGN_OR_RETURN(source.file, FindPolicyFile(options.run, options.version));
    if (source.environment_id.empty()) {
      ASSIGN_OR_RETURN(const auto config, ReadRunConfig(options.run));
      source.environment_id = config.environment();
    }
  } else if (options.run.empty() && !options.policy_file.empty() && !options.environment_id.empty()) {
    source.file = options.policy_file;
  } else {
    return absl::InvalidArgumentError("want either --run DIR, or both --policy FILE and --env ID");
  }
  ASSIGN_OR_RETURN(const std::string payload, ReadFile(source.file));
  absl::StatusOr<TensorFile> tensors = DecodeSafetensors(payload);
  if (!tensors.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(source.file.string(), ": ", tensors.status().message()));
  }
  source.tensors = *std::move(tensors);
  return source;
}

}  // namespace demorl
