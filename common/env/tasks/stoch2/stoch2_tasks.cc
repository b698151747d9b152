#include "common/env/tasks/stoch2/stoch2_environment.h"
#include "common/env/tasks/stoch2/stoch2_variants.h"
#include "common/env/tasks/tasks.h"

namespace demorl {

std::vector<NativeTask> Stoch2Tasks() {
  std::vector<NativeTask> tasks;
  for (const stoch2::Stoch2Variant& variant : stoch2::Stoch2Variants()) {
    tasks.push_back(VariantTask<stoch2::Stoch2Environment>(stoch2::TwinSpec(variant.environment_id),
                                                           stoch2::Terminates, variant.options));
  }
  return tasks;
}

}  // namespace demorl
