#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/robot_gateway/robot_gateway_client.h"

namespace demorl {

// What must be well before a robot is armed.
struct RobotCheck {
  struct Item {
    std::string what;
    bool go = false;
    // Does not forbid arming, but should be known.
    bool only_warns = false;
    std::string found;
  };
  std::vector<Item> items;

  bool go() const;
};

// Watches the robot for two seconds, then lets it act for two more with its motors off. Leaves it disarmed.
// An error only if the gateway does not answer; what is wrong with the robot is in the items.
absl::StatusOr<RobotCheck> CheckRobot(RobotGatewayClient& client, const std::string& holder);

// One line per item, then GO or NO GO.
std::string CheckTable(const RobotCheck& check);

// Blocks until the robot is in `state`; calls `keep_alive` meanwhile. DEADLINE_EXCEEDED, telling the state it
// is in.
absl::Status WaitForState(RobotGatewayClient& client, demorl::gateway::v1::RobotState state,
                          absl::Duration timeout, const std::function<absl::Status()>& keep_alive);

}  // namespace demorl
