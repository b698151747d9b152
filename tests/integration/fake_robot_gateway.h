#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "common/config/loader.h"
#include "services/robot_gateway/robot_gateway_client.h"
#include "services/robot_gateway/robot_gateway_component.h"
#include "tests/fakes/fake_robot.h"
#include "tests/fakes/policies.h"
#include "tests/testing/component_test.h"

namespace demorl::testing {

inline constexpr int kNumJoints = 2;
inline constexpr char kFakeRobot[] = R"(
robot {
  name: "fake"
  bus { protocol: PROTOCOL_MOTEUS_FDCANUSB ports: "nowhere" }
  joints { name: "a" actuator_id: 1 minimum_position_rad: -2 maximum_position_rad: 2 soft_zone_rad: 0.1
    soft_zone_stiffness_nm_rad: 10 maximum_velocity_rad_s: 20 maximum_torque_nm: 2 maximum_torque_rate_nm_s: 100000
    safe_damping_nm_s_rad: 0.2 hold_stiffness_nm_rad: 5 }
  joints { name: "b" actuator_id: 2 minimum_position_rad: -2 maximum_position_rad: 2 soft_zone_rad: 0.1
    soft_zone_stiffness_nm_rad: 10 maximum_velocity_rad_s: 20 maximum_torque_nm: 2 maximum_torque_rate_nm_s: 100000
    safe_damping_nm_s_rad: 0.2 hold_stiffness_nm_rad: 5 }
  realtime { priority: 0 lock_memory: false }
  safety { arming_ramp_s: 0.02 safe_action_time_s: 0.05 maximum_missed_ticks: 1000 maximum_missed_replies: 1000 }
  recording { tick_log_s: 5 chunk_steps: 10 }
}
sac { learning_starts: 30 }
)";

// A gateway of a fake robot against the real replay and snapshot services, over channels inside the process.
class RobotGatewayTest : public ComponentTest {
 protected:
  RobotGatewayTest() {
    EXPECT_OK(MergeTextProto(kFakeRobot, "test", &context_.config));
    FillDefaults(&context_.config);
    AddTable("env");
  }

  absl::StatusOr<std::unique_ptr<ServiceComponent>> Make() {
    return Make({.bus = std::make_unique<FakeActuatorBus>(kNumJoints)});
  }
  absl::StatusOr<std::unique_ptr<ServiceComponent>> Make(RobotDevices devices) {
    return MakeRobotGatewayOn(context_, "leg_gateway", std::make_unique<FakeRobotTask>(kNumJoints),
                              std::move(devices));
  }
  void StartGateway() { StartGateway({.bus = std::make_unique<FakeActuatorBus>(kNumJoints)}); }
  void StartGateway(RobotDevices devices) {
    gateway_ = Host::Start(Make(std::move(devices)));
    client_ = std::make_unique<RobotGatewayClient>(gateway_.runner->InProcessChannel(), "run");
    AwaitState(demorl::gateway::v1::ROBOT_STATE_DISARMED);
  }

  // Waits until the robot's state is as asked, and keeps the lease alive meanwhile.
  void AwaitState(const std::function<bool(const demorl::gateway::v1::WatchStateResponse&)>& wanted) {
    const absl::Time deadline = absl::Now() + kPatience;
    bool seen = false;
    ASSERT_OK(client_->WatchState(absl::Milliseconds(20),
                                  [&](const demorl::gateway::v1::WatchStateResponse& state) {
                                    if (lease_id_ != 0) {
                                      client_->RenewLease(lease_id_).status().IgnoreError();
                                    }
                                    state_ = state;
                                    seen = wanted(state);
                                    return !seen && absl::Now() < deadline;
                                  }));
    ASSERT_TRUE(seen) << state_.ShortDebugString();
  }
  void AwaitState(demorl::gateway::v1::RobotState wanted) {
    AwaitState(
        [wanted](const demorl::gateway::v1::WatchStateResponse& state) { return state.state() == wanted; });
  }

  void Arm(demorl::gateway::v1::ArmMode mode = demorl::gateway::v1::ARM_MODE_LEARN) {
    absl::StatusOr<demorl::gateway::v1::ArmResponse> grant;
    // A check forbids it until the sensors have spoken, and for a moment after a late tick.
    AwaitState([&](const demorl::gateway::v1::WatchStateResponse&) {
      grant = client_->Arm("ann", absl::Seconds(5), mode);
      return grant.ok();
    });
    ASSERT_OK(grant);
    lease_id_ = grant->lease_id();
    AwaitState(demorl::gateway::v1::ROBOT_STATE_ARMED);
  }

  void PublishPolicy(const std::string& schema_hash) {
    SnapshotClient snapshots(snapshot_.runner->InProcessChannel(), "run");
    demorl::snapshot::v1::SnapshotMetadata metadata;
    metadata.set_kind(demorl::snapshot::v1::SNAPSHOT_KIND_POLICY);
    metadata.set_schema_hash(schema_hash);
    metadata.set_observation_size(2 * kNumJoints);
    metadata.set_action_size(kNumJoints);
    ASSERT_OK(snapshots.Publish(metadata, EncodeSafetensors(ConstantPolicy(2 * kNumJoints, kNumJoints, 0.5F)),
                                absl::Now() + kPatience));
  }

  Host gateway_;
  std::unique_ptr<RobotGatewayClient> client_;
  uint64_t lease_id_ = 0;
  demorl::gateway::v1::WatchStateResponse state_;
};

}  // namespace demorl::testing
