#pragma once

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
};

// The robots that can be emulated, by name: the leg with two moteus controllers (ids 1 and 2) behind an
// fdcanusb. NOT_FOUND for another name, naming the known ones.
absl::StatusOr<EmulatedRobot> MakeEmulatedRobot(absl::string_view name);

}  // namespace demorl
