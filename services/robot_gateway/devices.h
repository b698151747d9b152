#pragma once

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "common/robot/drivers/actuator_bus.h"
#include "common/robot/drivers/imu.h"
#include "demorl/config/v1/robot.pb.h"

namespace demorl {

// The actuators of a setup, as its joints see them; opened, not yet asked anything. Errors of the ports,
// naming them; INVALID_ARGUMENT for what the protocol does not take. After a lost cable ClearFaults opens the
// ports again. B3M servos have no watchdog of their own and get demorl-bus-watchdog, from beside the running
// program; NOT_FOUND without it.
absl::StatusOr<std::unique_ptr<ActuatorBus>> OpenActuatorBus(const demorl::config::v1::RobotSetup& setup);

// Null for a setup without one. Errors as above. After a lost cable Start opens the port again.
absl::StatusOr<std::unique_ptr<Imu>> OpenImu(const demorl::config::v1::RobotSetup& setup);

}  // namespace demorl
