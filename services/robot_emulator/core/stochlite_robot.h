#pragma once

#include "absl/status/statusor.h"
#include "services/robot_emulator/core/emulated_robot.h"

namespace demorl {

// StochLite with the twin `StochLite-v0` as its body: on each of the ports bus0 to bus3 (front left, front
// right, back left, back right) the three Kondo B3M of a leg, with the ids 1 to 12 in the order of
// stochlite::kJointNames, which is that of the plant's joints; on the port imu an Xsens MTi in the torso. The
// servos' own position control has the gains of the twin's. INVALID_ARGUMENT for a slope beyond 30 degrees.
absl::StatusOr<EmulatedRobot> MakeEmulatedStochLite(const EmulatedRobotOptions& options);

}  // namespace demorl
