// A gateway of a fake robot against the real replay and snapshot services, over channels inside the process.

#include <fstream>
#include <functional>

#include "common/base/status_macros.h"
#include "common/config/loader.h"
#include "common/robot/control/reopening_imu.h"
#include "common/robot/drivers/imu/rvc_emulator.h"
#include "common/robot/drivers/imu/rvc_imu.h"
#include "common/robot/emulation/emulator_server.h"
#include "common/robot/transport/serial_port.h"
#include "gmock/gmock.h"
#include "services/robot_gateway/robot_gateway_client.h"
#include "services/robot_gateway/robot_gateway_component.h"
#include "tests/fakes/fake_robot.h"
#include "tests/fakes/policies.h"
#include "tests/testing/component_test.h"
#include "tests/unit/robot/imu/fake_wire.h"

namespace demorl {
namespace {

namespace pb = ::demorl::gateway::v1;
using ::demorl::testing::ComponentTest;
using ::demorl::testing::Host;
using ::demorl::testing::kPatience;
using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

constexpr int kNumJoints = 2;
constexpr char kRobot[] = R"(
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

class RobotGatewayTest : public ComponentTest {
 protected:
  RobotGatewayTest() {
    EXPECT_OK(MergeTextProto(kRobot, "test", &context_.config));
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
    AwaitState(pb::ROBOT_STATE_DISARMED);
  }

  // Waits until the robot's state is as asked, and keeps the lease alive meanwhile.
  void AwaitState(const std::function<bool(const pb::WatchStateResponse&)>& wanted) {
    const absl::Time deadline = absl::Now() + kPatience;
    bool seen = false;
    ASSERT_OK(client_->WatchState(absl::Milliseconds(20), [&](const pb::WatchStateResponse& state) {
      if (lease_id_ != 0) {
        client_->RenewLease(lease_id_).status().IgnoreError();
      }
      state_ = state;
      seen = wanted(state);
      return !seen && absl::Now() < deadline;
    }));
    ASSERT_TRUE(seen) << state_.ShortDebugString();
  }
  void AwaitState(pb::RobotState wanted) {
    AwaitState([wanted](const pb::WatchStateResponse& state) { return state.state() == wanted; });
  }

  void Arm(pb::ArmMode mode = pb::ARM_MODE_LEARN) {
    ASSERT_OK_AND_ASSIGN(const pb::ArmResponse grant, client_->Arm("ann", absl::Seconds(5), mode));
    lease_id_ = grant.lease_id();
    AwaitState(pb::ROBOT_STATE_ARMED);
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
  pb::WatchStateResponse state_;
};

TEST_F(RobotGatewayTest, AnArmedRobotsTransitionsBecomeDurableInReplay) {
  StartServices();
  StartGateway();
  EXPECT_EQ(state_.state(), pb::ROBOT_STATE_DISARMED);
  ASSERT_NO_FATAL_FAILURE(Arm());
  AwaitState([](const pb::WatchStateResponse& state) { return state.rows_durable() >= 50; });
  ASSERT_OK(client_->Disarm());
  AwaitState([](const pb::WatchStateResponse& state) {
    return state.state() == pb::ROBOT_STATE_DISARMED && state.rows_durable() == state.rows_recorded();
  });
  ReplayClient replay(replay_.runner->InProcessChannel(), "run");
  ASSERT_OK_AND_ASSIGN(const auto table, replay.GetTable("env"));
  EXPECT_EQ(table.rows_inserted(), state_.rows_recorded());
}

TEST_F(RobotGatewayTest, ActsByThePolicyOnceLearningHasStarted) {
  StartServices();
  StartGateway();
  PublishPolicy(FakeRobotTask(kNumJoints).spec().SchemaHash());
  ASSERT_NO_FATAL_FAILURE(Arm());
  AwaitState([](const pb::WatchStateResponse& state) {
    return state.policy_version() == 1 && state.action_size() == kNumJoints &&
           std::abs(state.action(0) - std::tanh(0.5F)) < 1e-3F;
  });
}

TEST_F(RobotGatewayTest, APolicyForAnotherRobotIsRefusedAndTheRobotGoesOn) {
  StartServices();
  StartGateway();
  PublishPolicy("0123456789abcdef");
  ASSERT_NO_FATAL_FAILURE(Arm());
  AwaitState([](const pb::WatchStateResponse& state) { return state.rows_durable() >= 50; });
  EXPECT_EQ(metrics_->GetCounter("demorl_gateway_policies_refused_total", "").Value(), 1);
  EXPECT_EQ(state_.policy_version(), 0);
}

TEST_F(RobotGatewayTest, AnEmergencyStopIsLatchedUntilItIsCleared) {
  StartServices();
  StartGateway();
  ASSERT_NO_FATAL_FAILURE(Arm());
  ASSERT_OK(client_->EmergencyStop("test"));
  AwaitState([](const pb::WatchStateResponse& state) {
    return state.state() == pb::ROBOT_STATE_FAULT && state.reason() == "emergency_stop";
  });
  EXPECT_THAT(client_->Arm("ann", absl::Seconds(5), pb::ARM_MODE_LEARN),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("emergency_stop")));
  // Not before the safe action is over.
  AwaitState([&](const pb::WatchStateResponse&) { return client_->ClearFault().ok(); });
  AwaitState(pb::ROBOT_STATE_DISARMED);
  EXPECT_NO_FATAL_FAILURE(Arm());
}

TEST_F(RobotGatewayTest, AnImuThatWasUnpluggedServesAgainOnceTheFaultIsCleared) {
  StartServices();
  NoMotors plant;
  RvcEmulator device([](absl::Duration) { return ImuMotion(); });
  ASSERT_OK_AND_ASSIGN(const auto server, EmulatorServer::Start({}, {&device}, &plant));
  context_.config.mutable_robot()->mutable_imu()->set_maximum_age_s(1);
  ASSERT_OK_AND_ASSIGN(auto imu, ReopeningImu::Open([&]() -> absl::StatusOr<std::unique_ptr<Imu>> {
                         ASSIGN_OR_RETURN(auto port, SerialPort::Open({.path = server->path(0)}));
                         return std::make_unique<RvcImu>(std::move(port));
                       }));
  StartGateway({.bus = std::make_unique<FakeActuatorBus>(kNumJoints), .imu = std::move(imu)});
  ASSERT_NO_FATAL_FAILURE(Arm());
  server->SetFaults(0, {.unplugged = true});
  AwaitState([](const pb::WatchStateResponse& state) {
    return state.state() == pb::ROBOT_STATE_FAULT && state.reason() == "sensors_lost";
  });
  ASSERT_OK(server->Replug(0));
  // Not before the safe action is over.
  AwaitState([&](const pb::WatchStateResponse&) { return client_->ClearFault().ok(); });
  AwaitState(pb::ROBOT_STATE_DISARMED);
  EXPECT_NO_FATAL_FAILURE(Arm());
}

TEST_F(RobotGatewayTest, OperatorsOfAnotherRunAreRefused) {
  StartServices();
  StartGateway();
  RobotGatewayClient stranger(gateway_.runner->InProcessChannel(), "another");
  EXPECT_THAT(stranger.Arm("bob", absl::Seconds(5), pb::ARM_MODE_LEARN),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("belongs to run run")));
}

TEST_F(RobotGatewayTest, JoggingIsForTheHolderAndRecordsNothing) {
  StartServices();
  StartGateway();
  ASSERT_NO_FATAL_FAILURE(Arm(pb::ARM_MODE_JOG));
  EXPECT_OK(client_->Jog(lease_id_, 1, 0.1, absl::Milliseconds(100)));
  EXPECT_THAT(client_->Jog(lease_id_ + 1, 1, 0.1, absl::Milliseconds(100)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is over")));
  EXPECT_THAT(client_->Jog(lease_id_, 7, 0.1, absl::Milliseconds(100)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("from 0 to 1")));
  const uint64_t ticks = state_.num_ticks();
  AwaitState([ticks](const pb::WatchStateResponse& state) { return state.num_ticks() > ticks + 50; });
  EXPECT_EQ(state_.rows_recorded(), 0);
}

TEST_F(RobotGatewayTest, DrainingDisarmsAndHandsOverEverything) {
  StartServices();
  StartGateway();
  ASSERT_NO_FATAL_FAILURE(Arm());
  AwaitState([](const pb::WatchStateResponse& state) { return state.rows_recorded() >= 30; });
  ASSERT_OK(gateway_.component->Drain(absl::Now() + kPatience));
  const ComponentStatus status = gateway_.component->Status();
  EXPECT_EQ(status.figures.at("rows_durable"), status.figures.at("rows_recorded"));
  EXPECT_GE(status.figures.at("rows_durable"), 30);
  EXPECT_EQ(status.figures.at("spool_bytes"), 0);
}

TEST_F(RobotGatewayTest, SaysWhatAConfigurationLacks) {
  StartServices();
  const auto expect_refused = [&](absl::StatusCode code, const std::string& what) {
    EXPECT_THAT(Make().status(), StatusIs(code, HasSubstr(what)));
  };
  ServiceContext whole = context_;
  context_.config.clear_robot();
  expect_refused(absl::StatusCode::kFailedPrecondition, "no section `robot`");
  context_ = whole;
  context_.data_dir.clear();
  expect_refused(absl::StatusCode::kFailedPrecondition, "data_dir");
  context_ = whole;
  context_.replay = nullptr;
  expect_refused(absl::StatusCode::kFailedPrecondition, "services.replay");
  context_ = whole;
  context_.config.mutable_robot()->mutable_joints(0)->clear_maximum_torque_nm();
  expect_refused(absl::StatusCode::kInvalidArgument, "joint a: maximum_torque_nm is not set");
  context_ = whole;
  std::ofstream(folder_ / "file") << "no folder";
  context_.data_dir = (folder_ / "file").string();
  EXPECT_FALSE(Make().ok());
  context_ = whole;
  EXPECT_THAT(MakeRobotGateway(context_, "leg_gateway", std::make_unique<FakeRobotTask>(kNumJoints)).status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("serial port nowhere")));
}

}  // namespace
}  // namespace demorl
