#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/concurrency/stop_token.h"
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
// An error only if the gateway does not answer, or CANCELLED when told to stop; what is wrong with the robot
// is in the items.
absl::StatusOr<RobotCheck> CheckRobot(RobotGatewayClient& client, const std::string& holder,
                                      const StopToken& stop);

// One line per item, then GO or NO GO.
std::string CheckTable(const RobotCheck& check);

// Keeps the lease alive until the robot is armed, which a ramp takes. FAILED_PRECONDITION telling its state
// if it does not begin to arm within two seconds or stops again, CANCELLED when told to stop.
absl::Status WaitUntilArmed(RobotGatewayClient& client, uint64_t lease_id, const StopToken& stop);

}  // namespace demorl
