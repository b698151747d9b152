#include "common/env/tasks/stochlite/stochlite_environment.h"
#include "common/env/tasks/stochlite/stochlite_variants.h"
#include "common/env/tasks/tasks.h"

namespace demorl {

using stochlite::StochLiteEnvironment;

std::vector<NativeTask> StochLiteTasks() {
  std::vector<NativeTask> tasks;
  for (const stochlite::StochLiteVariant& variant : stochlite::StochLiteVariants()) {
    const stochlite::TwinOptions& options = variant.options;
    const EnvironmentSpec spec = stochlite::TwinSpec(variant.environment_id, options.observation);
    auto make = [spec, options](uint64_t seed) -> absl::StatusOr<std::unique_ptr<Environment>> {
      return StochLiteEnvironment::Create(spec, seed, options);
    };
    tasks.push_back({.spec = spec,
                     .termination_rule = stochlite::TerminationRuleOf(options.observation),
                     .make = std::move(make)});
  }
  return tasks;
}

}  // namespace demorl
