#pragma once

#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "common/robot/emulation/emulator_server.h"
#include "services/robot_emulator/core/emulated_robot.h"

namespace demorl {

// Carries out one line of an emulator's control pipe:
//
//   unplug PORT | replug PORT        the cable
//   stuck PORT on|off                nothing is answered
//   duplicate PORT on|off            every answer twice
//   delay PORT MILLISECONDS          answers come late
//   corrupt PORT SHARE               this share of answers with a flipped bit
//   babble PORT BYTES                noise, per millisecond
//   topple                           somebody pushes the robot over
//   place                            somebody sets it on its feet
//
// INVALID_ARGUMENT naming what was found and what is allowed.
class ControlCommands {
 public:
  // Borrows the server and the robot that it runs.
  ControlCommands(EmulatorServer* server, const EmulatedRobot* robot)
      : server_(*server), robot_(*robot), faults_(robot->port_names.size()) {}

  absl::Status Run(absl::string_view line);

 private:
  absl::Status Move(const std::function<void()>& move);
  absl::Status Change(size_t port, absl::string_view what, absl::string_view value);

  EmulatorServer& server_;
  const EmulatedRobot& robot_;
  std::vector<EmulatorFaults> faults_;
};

}  // namespace demorl
