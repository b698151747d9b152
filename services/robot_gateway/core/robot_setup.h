#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/robot/control/calibrated_bus.h"
#include "common/robot/control/robot_loop.h"
#include "common/robot/realtime/realtime_thread.h"
#include "common/robot/safety/safety_envelope.h"
#include "demorl/config/v1/robot.pb.h"

namespace demorl {

// What a robot's configuration means. A setup that CheckRobotSetup accepts has all that the rest needs.

// INVALID_ARGUMENT naming the field, what was found and what is allowed: another number of joints than the
// task's, joints without names or ids, ids that occur twice on a port, no ports, limits that are missing.
absl::Status CheckRobotSetup(const demorl::config::v1::RobotSetup& setup, int num_joints);

std::vector<JointLimits> LimitsOf(const demorl::config::v1::RobotSetup& setup);
std::vector<JointCalibration> CalibrationOf(const demorl::config::v1::RobotSetup& setup);
std::vector<std::string> JointNames(const demorl::config::v1::RobotSetup& setup);
RealtimeOptions RealtimeOptionsOf(const demorl::config::v1::RobotSetup& setup);
RobotLoopOptions LoopOptionsOf(const demorl::config::v1::RobotSetup& setup, absl::Duration control_period);

}  // namespace demorl
