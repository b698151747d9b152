#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/robot/control/robot_task.h"
#include "common/robot/drivers/actuator_bus.h"
#include "common/robot/drivers/imu.h"
#include "common/rpc/service_component.h"
#include "common/rpc/service_context.h"

namespace demorl {

// What a gateway drives. `imu` may be null.
struct RobotDevices {
  std::unique_ptr<ActuatorBus> bus;
  std::unique_ptr<Imu> imu;
};

// Asks the devices who they are, refuses limits beyond theirs, and makes the component that drives them:
// `task` at its control period, operators by GatewayService, transitions into replay's table `env`, policies
// from snapshot. Motors stay off. Needs the channels to replay and snapshot, a data_dir and
// context.config.robot; every error says what is missing or wrong.
absl::StatusOr<std::unique_ptr<ServiceComponent>> MakeRobotGatewayOn(const ServiceContext& context,
                                                                     const std::string& service_name,
                                                                     std::unique_ptr<RobotTask> task,
                                                                     RobotDevices devices);

// The same with the devices that context.config.robot names.
absl::StatusOr<std::unique_ptr<ServiceComponent>> MakeRobotGateway(const ServiceContext& context,
                                                                   const std::string& service_name,
                                                                   std::unique_ptr<RobotTask> task);

}  // namespace demorl
