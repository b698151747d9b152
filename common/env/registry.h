#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/env/environment.h"

namespace demorl {

// Makes a native environment by id. NOT_FOUND for an unknown id, naming the nearest known ones.
absl::StatusOr<std::unique_ptr<Environment>> MakeEnvironment(absl::string_view environment_id, uint64_t seed);

// The specification without making an environment's simulation. NOT_FOUND as above.
absl::StatusOr<EnvironmentSpec> GetEnvironmentSpec(absl::string_view environment_id);

// The termination rule of a native task; NOT_FOUND for an id that is not native. A task that never terminates
// has a rule that is always false.
absl::StatusOr<TerminationRule> GetTerminationRule(absl::string_view environment_id);

// All native ids, sorted.
std::vector<std::string> NativeEnvironmentIds();

}  // namespace demorl
