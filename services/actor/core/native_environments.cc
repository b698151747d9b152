// The core's entry points on the native environments.

#include "common/env/registry.h"
#include "services/actor/core/environment_factory.h"

namespace demorl {
namespace {

EnvironmentFactory NativeFactory(const std::string& environment_id) {
  return [environment_id](uint64_t seed) { return MakeEnvironment(environment_id, seed); };
}

}  // namespace

absl::StatusOr<std::unique_ptr<EpisodeCollector>> EpisodeCollector::Create(const Options& options) {
  return CreateEpisodeCollector(options, NativeFactory(options.environment_id));
}

absl::StatusOr<EvaluationResult> Evaluate(const TensorFile& policy, const EvaluationOptions& options) {
  return EvaluateOn(NativeFactory(options.environment_id), policy, options);
}

}  // namespace demorl
