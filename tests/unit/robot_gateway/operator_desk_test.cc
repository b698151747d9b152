#include "services/robot_gateway/core/operator_desk.h"

#include <atomic>
#include <optional>
#include <thread>

#include "gmock/gmock.h"
#include "tests/fakes/manual_clock.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

class OperatorDeskTest : public ::testing::Test {
 protected:
  OperatorDeskTest()
      : desk_({.num_joints = 2, .action_size = 3, .max_lease = absl::Seconds(3), .first_lease_id = 7},
              &clock_, &panel_, &board_) {
    Show(RobotState::kDisarmed);
  }

  void Show(RobotState state, StopReason reason = StopReason::kNone, ArmMode mode = ArmMode::kLearn) {
    TickRecord record;
    record.state = state;
    record.reason = reason;
    record.finding = reason;
    record.mode = mode;
    board_.Update(record);
  }

  ManualClock clock_;
  OperatorPanel panel_;
  StateBoard board_;
  OperatorDesk desk_;
};

TEST_F(OperatorDeskTest, ArmingTellsTheLoopAndGrantsALease) {
  ASSERT_OK_AND_ASSIGN(const OperatorDesk::Grant grant, desk_.Arm("ann", absl::Seconds(1), ArmMode::kLearn));
  EXPECT_EQ(grant.lease_id, 7);
  EXPECT_EQ(panel_.TakeArm(), ArmMode::kLearn);
  EXPECT_TRUE(panel_.LeaseIsValid(clock_.now + absl::Milliseconds(999)));
  EXPECT_FALSE(panel_.LeaseIsValid(clock_.now + absl::Seconds(1)));
}

TEST_F(OperatorDeskTest, ALongLeaseIsShortened) {
  ASSERT_OK_AND_ASSIGN(const OperatorDesk::Grant grant, desk_.Arm("ann", absl::Hours(1), ArmMode::kLearn));
  EXPECT_EQ(grant.duration, absl::Seconds(3));
  EXPECT_FALSE(panel_.LeaseIsValid(clock_.now + absl::Seconds(3)));
}

TEST_F(OperatorDeskTest, ASecondHolderIsRefusedByName) {
  ASSERT_OK(desk_.Arm("ann", absl::Seconds(1), ArmMode::kLearn));
  panel_.TakeArm();
  EXPECT_THAT(desk_.Arm("bob", absl::Seconds(1), ArmMode::kLearn),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("held by ann")));
  EXPECT_EQ(panel_.TakeArm(), std::nullopt);
}

TEST_F(OperatorDeskTest, NobodyArmsALatchedFaultOrAFailedCheck) {
  Show(RobotState::kFault, StopReason::kLimitExceeded);
  EXPECT_THAT(desk_.Arm("ann", absl::Seconds(1), ArmMode::kLearn),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("limit_exceeded")));
  Show(RobotState::kDisarmed, StopReason::kRepliesLost);
  EXPECT_THAT(desk_.Arm("ann", absl::Seconds(1), ArmMode::kLearn),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("replies_lost")));
  EXPECT_EQ(panel_.TakeArm(), std::nullopt);
}

TEST_F(OperatorDeskTest, NobodyArmsBeforeTheLoopRuns) {
  StateBoard empty;
  OperatorDesk desk({.num_joints = 2}, &clock_, &panel_, &empty);
  EXPECT_THAT(desk.Arm("ann", absl::Seconds(1), ArmMode::kLearn),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not started")));
}

TEST_F(OperatorDeskTest, AnArmedRobotDoesNotChangeItsMode) {
  ASSERT_OK(desk_.Arm("ann", absl::Seconds(1), ArmMode::kJog));
  Show(RobotState::kArmed, StopReason::kNone, ArmMode::kJog);
  EXPECT_THAT(desk_.Arm("ann", absl::Seconds(1), ArmMode::kLearn),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another mode")));
}

TEST_F(OperatorDeskTest, AHeartbeatProlongsTheLeaseUntilItIsOver) {
  ASSERT_OK_AND_ASSIGN(const OperatorDesk::Grant grant, desk_.Arm("ann", absl::Seconds(1), ArmMode::kLearn));
  clock_.now += absl::Milliseconds(900);
  ASSERT_OK(desk_.Renew(grant.lease_id));
  EXPECT_TRUE(panel_.LeaseIsValid(clock_.now + absl::Milliseconds(999)));
  clock_.now += absl::Seconds(1);
  EXPECT_THAT(desk_.Renew(grant.lease_id),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("arm again")));
}

TEST_F(OperatorDeskTest, DisarmingEndsTheLease) {
  ASSERT_OK(desk_.Arm("ann", absl::Seconds(1), ArmMode::kLearn));
  desk_.Disarm();
  EXPECT_TRUE(panel_.TakeDisarm());
  EXPECT_FALSE(panel_.LeaseIsValid(clock_.now));
  EXPECT_OK(desk_.Arm("bob", absl::Seconds(1), ArmMode::kLearn));
}

TEST_F(OperatorDeskTest, AFaultIsClearedOnceDevicesRecovered) {
  panel_.EmergencyStop();
  Show(RobotState::kFault, StopReason::kEmergencyStop);
  EXPECT_THAT(desk_.ClearFault([] { return absl::UnavailableError("the bus is gone"); }),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("the bus is gone")));
  EXPECT_TRUE(panel_.emergency_stop());
  // The loop obeys as soon as it is asked.
  std::thread loop([&] {
    while (!panel_.TakeClearFault()) {
      std::this_thread::yield();
    }
    Show(RobotState::kDisarmed);
  });
  EXPECT_OK(desk_.ClearFault([] { return absl::OkStatus(); }));
  loop.join();
  EXPECT_FALSE(panel_.emergency_stop());
}

TEST_F(OperatorDeskTest, AFaultIsClearedThoughTheFirstTickStillMissesADevice) {
  Show(RobotState::kFault, StopReason::kRepliesLost);
  std::atomic<bool> ended = false;
  std::thread loop([&] {
    for (int num_asked = 0; num_asked < 2 && !ended; std::this_thread::yield()) {
      if (panel_.TakeClearFault()) {
        ++num_asked;
        Show(num_asked == 1 ? RobotState::kFault : RobotState::kDisarmed);
      }
    }
  });
  EXPECT_OK(desk_.ClearFault([] { return absl::OkStatus(); }));
  ended = true;
  loop.join();
}

TEST_F(OperatorDeskTest, DevicesThatWereLostWhileDisarmedAreFoundAgain) {
  bool asked = false;
  const auto recover = [&asked] {
    asked = true;
    return absl::OkStatus();
  };
  Show(RobotState::kDisarmed);
  EXPECT_THAT(desk_.ClearFault(recover),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no fault is latched")));
  EXPECT_FALSE(asked);
  Show(RobotState::kDisarmed, StopReason::kRepliesLost);
  EXPECT_OK(desk_.ClearFault(recover));
  EXPECT_TRUE(asked);
}

TEST_F(OperatorDeskTest, AnEmergencyStopThatIsPressedWhileAFaultIsClearedHolds) {
  Show(RobotState::kFault, StopReason::kLimitExceeded);
  EXPECT_THAT(desk_.ClearFault([&] {
    panel_.EmergencyStop();
    return absl::OkStatus();
  }),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("pressed again")));
  EXPECT_TRUE(panel_.emergency_stop());
}

TEST_F(OperatorDeskTest, TheHolderOfAnArmedRobotIntervenesForAShortTime) {
  ASSERT_OK_AND_ASSIGN(const OperatorDesk::Grant grant, desk_.Arm("ann", absl::Seconds(1), ArmMode::kLearn));
  const std::vector<float> action = {0.5f, -1, 0};
  constexpr absl::Duration kTime = absl::Milliseconds(300);
  EXPECT_THAT(desk_.Intervene(grant.lease_id, action, kTime),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not armed for episodes")));
  Show(RobotState::kArmed, StopReason::kNone, ArmMode::kJog);
  EXPECT_THAT(desk_.Intervene(grant.lease_id, action, kTime),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not armed for episodes")));
  Show(RobotState::kArmed);
  EXPECT_THAT(desk_.Intervene(grant.lease_id + 1, action, kTime),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is over")));
  ASSERT_OK(desk_.Intervene(grant.lease_id, action, kTime));
  Intervention intervention;
  panel_.ReadIntervention(intervention);
  EXPECT_EQ(intervention.expiry, clock_.now + kTime);
  EXPECT_EQ(intervention.action[1], -1);
  for (const bool disarms : {false, true}) {
    ASSERT_OK(desk_.Intervene(grant.lease_id, action, kTime));
    if (disarms) {
      desk_.Disarm();
    } else {
      ASSERT_OK(desk_.Intervene(grant.lease_id, {}, absl::ZeroDuration()));
    }
    panel_.ReadIntervention(intervention);
    EXPECT_LE(intervention.expiry, clock_.now);
  }
}

TEST_F(OperatorDeskTest, RefusesInterventionsByWhatIsNoAction) {
  ASSERT_OK_AND_ASSIGN(const OperatorDesk::Grant grant, desk_.Arm("ann", absl::Seconds(1), ArmMode::kLearn));
  Show(RobotState::kArmed);
  const auto refused = [&](const std::vector<float>& action, absl::Duration duration) {
    EXPECT_THAT(desk_.Intervene(grant.lease_id, action, duration),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("want 3 values in [-1, 1]")));
  };
  refused({0, 0}, absl::Milliseconds(100));
  refused({0, 0, 1.01f}, absl::Milliseconds(100));
  refused({0, NAN, 0}, absl::Milliseconds(100));
  refused({0, 0, 0}, absl::ZeroDuration());
  refused({0, 0, 0}, absl::Milliseconds(501));
  Intervention intervention;
  panel_.ReadIntervention(intervention);
  EXPECT_LE(intervention.expiry, clock_.now);
}

TEST_F(OperatorDeskTest, AFaultIsNotClearedDuringItsSafeAction) {
  TickRecord record;
  record.state = RobotState::kFault;
  record.commanded[1].mode = ActuatorMode::kDamping;
  board_.Update(record);
  EXPECT_THAT(desk_.ClearFault([] { return absl::OkStatus(); }),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not over yet")));
}

TEST_F(OperatorDeskTest, ARefusedArmLeavesTheHoldersLeaseAsItWas) {
  ASSERT_OK_AND_ASSIGN(const OperatorDesk::Grant grant, desk_.Arm("ann", absl::Seconds(1), ArmMode::kLearn));
  EXPECT_THAT(desk_.Arm("bob", absl::Seconds(3), ArmMode::kLearn),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("held by ann")));
  ASSERT_OK_AND_ASSIGN(const OperatorDesk::Grant renewed, desk_.Renew(grant.lease_id));
  EXPECT_EQ(renewed.duration, absl::Seconds(1));
}

TEST_F(OperatorDeskTest, NothingIsArmedOnceItIsClosed) {
  desk_.Close();
  EXPECT_TRUE(panel_.TakeDisarm());
  EXPECT_THAT(desk_.Arm("ann", absl::Seconds(1), ArmMode::kLearn),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("ends")));
}

TEST_F(OperatorDeskTest, ThereIsNothingToClearWithoutAFault) {
  EXPECT_THAT(desk_.ClearFault([] { return absl::OkStatus(); }),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("the robot is disarmed")));
}

TEST_F(OperatorDeskTest, JogsOnlyWhatIsArmedToJogByTheHolder) {
  ASSERT_OK_AND_ASSIGN(const OperatorDesk::Grant grant, desk_.Arm("ann", absl::Seconds(1), ArmMode::kJog));
  EXPECT_THAT(desk_.Jog(grant.lease_id, 1, 0.5, absl::Milliseconds(100)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not armed to jog")));
  Show(RobotState::kArmed, StopReason::kNone, ArmMode::kJog);
  EXPECT_OK(desk_.Jog(grant.lease_id, 1, 0.5, absl::Milliseconds(100)));
  EXPECT_EQ(panel_.JogVelocity(1, clock_.now), 0.5);
  EXPECT_EQ(panel_.JogVelocity(1, clock_.now + absl::Milliseconds(100)), 0);
  EXPECT_THAT(desk_.Jog(grant.lease_id + 1, 1, 0.5, absl::Milliseconds(100)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is over")));
  EXPECT_THAT(desk_.Jog(grant.lease_id, 2, 0.5, absl::Milliseconds(100)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("from 0 to 1")));
  EXPECT_THAT(desk_.Jog(grant.lease_id, 1, 0.5, absl::Seconds(1)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("500ms")));
  desk_.Disarm();
  EXPECT_EQ(panel_.JogVelocity(1, clock_.now), 0);
}

TEST_F(OperatorDeskTest, TheBoardSumsClampsAndReturns) {
  TickRecord record;
  record.clamps[static_cast<size_t>(Clamp::kTorque)] = 2;
  record.step = TickStep::kFirst;
  board_.Update(record);
  record.step = TickStep::kMid;
  record.reward = 1.5;
  board_.Update(record);
  record.step = TickStep::kLast;
  board_.Update(record);
  const StateBoard::Summary summary = board_.Get();
  EXPECT_EQ(summary.clamps[static_cast<size_t>(Clamp::kTorque)], 6);
  EXPECT_EQ(summary.episodes, 1);
  EXPECT_EQ(summary.last_return, 3);
}

}  // namespace
}  // namespace demorl
