#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/concurrency/stop_token.h"
#include "demorl/gateway/v1/gateway_service.pb.h"
#include "services/cli/drive/operator_input.h"
#include "services/cli/robot/held_robot.h"

namespace demorl {

// The action of an operator who steers these axes: `values` by axis, everything else 0.
std::vector<float> ActionOfAxes(const demorl::gateway::v1::WatchStateResponse& robot,
                                const std::vector<double>& values);

// Lets an operator act in the policy's place, as long as the input's switch is held, and keeps the lease of
// an armed robot alive. Returns when the operator quits or `stop` asks for it (OK), when the robot has
// stopped by itself (ABORTED) and when the input is gone (its error). Says on standard output what it does.
absl::Status DriveRobot(HeldRobot& robot, OperatorInput& input, const StopToken& stop);

}  // namespace demorl
