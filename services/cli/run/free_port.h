#pragma once

#include "absl/status/statusor.h"

namespace demorl {

// A loopback TCP port that is free now. Another process may take it before it is used; for services that must
// keep their port over restarts there is no better way.
absl::StatusOr<int> FindFreePort();

}  // namespace demorl
