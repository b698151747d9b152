#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/robot/emulation/device_emulator.h"

namespace demorl {

// A twin and the devices through which a gateway sees it, one per port.
struct EmulatedRobot {
  std::unique_ptr<RobotPlant> plant;
  std::vector<std::unique_ptr<DeviceEmulator>> devices;
  // Of each device's port: "bus0", "imu".
  std::vector<std::string> port_names;
  absl::Duration step;
  // Set the robot on its feet, and lay it on its side, at rest, where it began; to be called where the plant
  // may be changed. Empty for one that cannot fall.
  std::function<void()> place;
  std::function<void()> topple;
};

struct EmulatedRobotOptions {
  // Of the ground, uphill ahead of a robot that walks.
  double slope_deg = 0;
};

// The robots that can be emulated, by name:
//   leg        two moteus controllers (ids 1 and 2) behind an fdcanusb
//   stochlite  see stochlite_robot.h
// NOT_FOUND for another name, naming the known ones; INVALID_ARGUMENT for options that do not fit.
absl::StatusOr<EmulatedRobot> MakeEmulatedRobot(absl::string_view name,
                                                const EmulatedRobotOptions& options = {});

}  // namespace demorl
