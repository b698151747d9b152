#include "common/env/tasks/stochlite/stochlite_environment.h"
#include "common/env/tasks/stochlite/stochlite_variants.h"
#include "common/env/tasks/tasks.h"

namespace demorl {

using stochlite::StochLiteEnvironment;

std::vector<NativeTask> StochLiteTasks() {
  std::vector<NativeTask> tasks;
  for (const stochlite::StochLiteVariant& variant : stochlite::StochLiteVariants()) {
    const stochlite::TwinOptions& options = variant.options;
    tasks.push_back(
        VariantTask<StochLiteEnvironment>(stochlite::TwinSpec(variant.environment_id, options.observation),
                                          stochlite::TerminationRuleOf(options.observation), options));
  }
  return tasks;
}

}  // namespace demorl
