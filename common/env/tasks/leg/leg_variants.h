#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/env/tasks/leg/leg_parameters.h"

namespace demorl {

struct LegVariant {
  std::string environment_id;
  LegParameters parameters;
};

// The leg's environment ids, the default first.
std::vector<LegVariant> LegVariants();

// NOT_FOUND naming the known ids.
absl::StatusOr<LegParameters> FindLegParameters(absl::string_view environment_id);

}  // namespace demorl
