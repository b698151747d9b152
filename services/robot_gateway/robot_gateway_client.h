#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "demorl/gateway/v1/gateway_service.pb.h"
#include "grpcpp/channel.h"

namespace demorl {

// A robot's gateway as its operators reach it. Every call but WatchState has a deadline of a few seconds.
// Thread-safe.
class RobotGatewayClient {
 public:
  RobotGatewayClient(std::shared_ptr<grpc::Channel> channel, std::string run_id);
  ~RobotGatewayClient();

  absl::StatusOr<demorl::gateway::v1::ArmResponse> Arm(const std::string& holder,
                                                       absl::Duration lease_duration,
                                                       demorl::gateway::v1::ArmMode mode);
  absl::StatusOr<demorl::gateway::v1::RenewLeaseResponse> RenewLease(uint64_t lease_id);
  absl::Status Disarm();
  absl::Status EmergencyStop(const std::string& origin);
  absl::Status ClearFault();
  absl::Status Jog(uint64_t lease_id, int joint, double velocity_rad_s, absl::Duration duration);

  // Puts `action` in the policy's place for this long; an empty one ends that.
  absl::Status Intervene(uint64_t lease_id, const std::vector<float>& action, absl::Duration duration);

  // One state.
  absl::StatusOr<demorl::gateway::v1::WatchStateResponse> GetState();

  // Calls `visit` with each state until it answers false (OK) or the stream ends with an error.
  absl::Status WatchState(absl::Duration interval,
                          const std::function<bool(const demorl::gateway::v1::WatchStateResponse&)>& visit);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace demorl
