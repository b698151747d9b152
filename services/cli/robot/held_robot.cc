#include "services/cli/robot/held_robot.h"

#include "absl/memory/memory.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"

namespace demorl {

namespace pb = ::demorl::gateway::v1;

absl::StatusOr<std::unique_ptr<HeldRobot>> HeldRobot::Arm(RobotGatewayClient* client,
                                                          const std::string& holder, absl::Duration lease,
                                                          pb::ArmMode mode) {
  ASSIGN_OR_RETURN(const pb::ArmResponse grant, client->Arm(holder, lease, mode));
  return absl::WrapUnique(new HeldRobot(client, grant));
}

HeldRobot::HeldRobot(RobotGatewayClient* client, const pb::ArmResponse& grant)
    : client_(*client),
      lease_id_(grant.lease_id()),
      lease_(absl::Seconds(grant.lease_duration().seconds()) +
             absl::Nanoseconds(grant.lease_duration().nanos())) {}

absl::StatusOr<pb::RobotState> HeldRobot::Renew() {
  absl::StatusOr<pb::RenewLeaseResponse> renewed = absl::UnknownError("not asked");
  const absl::Time deadline = absl::Now() + lease_;
  do {
    renewed = client_.RenewLease(lease_id_);
  } while (absl::IsUnavailable(renewed.status()) && absl::Now() < deadline);
  RETURN_IF_ERROR(renewed.status());
  return renewed->state();
}

}  // namespace demorl
