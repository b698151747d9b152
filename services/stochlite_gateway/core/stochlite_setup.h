#pragma once

#include "absl/status/status.h"
#include "demorl/config/v1/robot.pb.h"

namespace demorl {

// INVALID_ARGUMENT for a robot without an IMU, which cannot tell how it stands, or whose joints are not
// StochLite's in the order of its task: a leg that takes another's commands breaks. Names the field, what was
// found and what is wanted.
absl::Status CheckStochLiteSetup(const demorl::config::v1::RobotSetup& setup);

}  // namespace demorl
