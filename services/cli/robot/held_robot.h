#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/robot_gateway/robot_gateway_client.h"

namespace demorl {

// A robot that this process has armed. Turns its motors off at the end, whatever that is.
class HeldRobot {
 public:
  // Borrows the client. Errors of RobotGatewayClient::Arm.
  static absl::StatusOr<std::unique_ptr<HeldRobot>> Arm(RobotGatewayClient* client, const std::string& holder,
                                                        absl::Duration lease,
                                                        demorl::gateway::v1::ArmMode mode);
  ~HeldRobot() { client_.Disarm().IgnoreError(); }

  HeldRobot(const HeldRobot&) = delete;
  HeldRobot& operator=(const HeldRobot&) = delete;

  // The heartbeat, tried again for as long as the lease may still be valid; the robot's state.
  absl::StatusOr<demorl::gateway::v1::RobotState> Renew();

  RobotGatewayClient& client() { return client_; }
  uint64_t lease_id() const { return lease_id_; }
  // As granted.
  absl::Duration lease() const { return lease_; }

 private:
  HeldRobot(RobotGatewayClient* client, const demorl::gateway::v1::ArmResponse& grant);

  RobotGatewayClient& client_;
  const uint64_t lease_id_;
  const absl::Duration lease_;
};

}  // namespace demorl
