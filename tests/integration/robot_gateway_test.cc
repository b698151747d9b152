#include <fstream>

#include "common/base/status_macros.h"
#include "common/robot/control/reopening_imu.h"
#include "common/robot/drivers/imu/rvc_emulator.h"
#include "common/robot/drivers/imu/rvc_imu.h"
#include "common/robot/emulation/emulator_server.h"
#include "common/robot/transport/serial_port.h"
#include "gmock/gmock.h"
#include "tests/integration/fake_robot_gateway.h"
#include "tests/unit/robot/imu/fake_wire.h"

namespace demorl {
namespace {

namespace pb = ::demorl::gateway::v1;
using ::demorl::testing::kNumJoints;
using ::demorl::testing::kPatience;
using ::demorl::testing::RobotGatewayTest;
using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

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

TEST_F(RobotGatewayTest, WhatAnOperatorDoesInThePolicysPlaceIsRecordedAndMarkedAndEndsByItself) {
  StartServices();
  StartGateway();
  PublishPolicy(FakeRobotTask(kNumJoints).spec().SchemaHash());
  ASSERT_NO_FATAL_FAILURE(Arm());
  const std::vector<float> action = {0.125f, -0.75f};
  EXPECT_THAT(client_->Intervene(lease_id_, {0.5f}, absl::Milliseconds(100)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("want 2 values")));
  AwaitState([&](const pb::WatchStateResponse& state) {
    EXPECT_OK(client_->Intervene(lease_id_, action, absl::Milliseconds(500)));
    return state.intervening() && state.action(1) == action[1];
  });
  EXPECT_EQ(state_.operator_axes(1).name(), "action 1");
  // Nobody repeats it.
  AwaitState(
      [](const pb::WatchStateResponse& state) { return !state.intervening() && state.action_size() > 0; });
  ASSERT_OK(client_->Disarm());
  AwaitState([](const pb::WatchStateResponse& state) {
    return state.state() == pb::ROBOT_STATE_DISARMED && state.rows_durable() == state.rows_recorded();
  });
  ReplayClient replay(replay_.runner->InProcessChannel(), "run");
  const auto tail = replay.OpenTail("env", 0);
  uint64_t marked = 0;
  for (uint64_t position = 0; position < state_.rows_recorded();) {
    ASSERT_OK_AND_ASSIGN(const TailedRows rows, tail->Next(absl::Now() + kPatience));
    for (const Segment& segment : rows.chunk.segments) {
      for (int step = 0; step < segment.num_steps; ++step) {
        const bool is_operators =
            segment.actions[2 * step] == action[0] && segment.actions[2 * step + 1] == action[1];
        EXPECT_EQ(segment.intervened, is_operators);
        marked += is_operators ? 1 : 0;
      }
    }
    position = rows.next_position;
  }
  EXPECT_GT(marked, 0);
  EXPECT_EQ(marked, state_.rows_intervened());
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
