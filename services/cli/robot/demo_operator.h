#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/concurrency/stop_token.h"
#include "grpcpp/channel.h"
#include "services/robot_gateway/robot_gateway_client.h"

namespace demorl {

// Somebody who stands beside a robot: arms it, keeps its lease alive, clears what it ran into, and looks
// closely. Every expectation that is not met is INTERNAL and tells what was seen; CANCELLED when told to
// stop. Of one thread.
class DemoOperator {
 public:
  // How a robot that has fallen is set on its feet; empty for one that cannot fall.
  using PlaceRobot = std::function<absl::Status()>;
  // A robot on its feet comes to its next episode within this.
  static constexpr absl::Duration kLongestReset = absl::Seconds(5);

  DemoOperator(std::shared_ptr<grpc::Channel> channel, const std::string& run_id, PlaceRobot place,
               StopToken stop)
      : client_(std::move(channel), run_id), place_(std::move(place)), stop_(std::move(stop)) {}

  RobotGatewayClient& client() { return client_; }

  // Until the gateway answers and its loop ticks.
  absl::Status WaitUntilThere(absl::Duration patience);

  // Also waits until it is armed.
  absl::Status Arm();

  // For this long, whatever limits the robot meets: those are cleared, counted, and the robot is armed again.
  // A robot that does not come to its next episode lies somewhere: it is placed, and counted.
  absl::Status KeepArmed(absl::Duration duration);

  // Waits for the state; `reason` as the gateway says it, any when empty.
  absl::Status Expect(demorl::gateway::v1::RobotState state, const std::string& reason,
                      absl::Duration patience);
  absl::Status ExpectArmRefused();

  // Tries until the cause is gone.
  absl::Status ClearFault(absl::Duration patience);

  // Until replay has made durable what the gateway has recorded.
  absl::Status WaitUntilDurable(absl::Duration patience);

  int num_cleared_limits() const { return num_cleared_limits_; }
  int num_placed() const { return num_placed_; }

 private:
  using State = demorl::gateway::v1::WatchStateResponse;

  absl::Status WaitFor(const std::string& what, absl::Duration patience,
                       const std::function<bool(const State&)>& seen);
  absl::Status RecoverFromLimit(const State& state);
  absl::Status Place();

  RobotGatewayClient client_;
  const PlaceRobot place_;
  const StopToken stop_;
  uint64_t lease_id_ = 0;
  int num_cleared_limits_ = 0;
  int num_placed_ = 0;
};

}  // namespace demorl
