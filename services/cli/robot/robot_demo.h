#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "common/concurrency/stop_token.h"

namespace demorl {

struct RobotDemoOptions {
  // leg or stochlite.
  std::string robot = "leg";
  // Ends within two minutes.
  bool brief = false;
  // Of learning between two mishaps.
  double learn_s = 60;
  uint64_t seed = 0;
  std::filesystem::path folder;
};

// A robot's whole life on one machine: emulated devices with the twin behind them, gateway, replay, snapshot,
// trainer, planner and learner as processes. The robot learns through its gateway in real time; meanwhile a
// cable is pulled, and learner, replay and gateway are killed, and somebody presses the emergency stop. OK
// only if the robot did what it should at each of them, and replay's audit shows that nothing acknowledged
// was lost.
absl::Status RunRobotDemo(const RobotDemoOptions& options, const StopToken& stop);

}  // namespace demorl
