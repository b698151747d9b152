#include "services/cli/run/task_lookup.h"

#include "absl/strings/str_cat.h"
#include "common/env/gymnasium_process.h"
#include "common/env/registry.h"

namespace demorl {

bool IsNativeTask(const std::string& environment_id) { return GetEnvironmentSpec(environment_id).ok(); }

absl::Status CheckTaskExists(const std::string& environment_id) {
  const absl::Status native = GetEnvironmentSpec(environment_id).status();
  if (native.ok()) {
    return native;
  }
  const absl::Status gymnasium = DescribeGymnasiumEnvironment(environment_id).status();
  if (absl::IsNotFound(gymnasium)) {
    return absl::NotFoundError(
        absl::StrCat(native.message(), "; through the Python actor: ", gymnasium.message()));
  }
  return gymnasium;
}

}  // namespace demorl
