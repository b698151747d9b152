#include "services/robot_gateway/core/operator_desk.h"

#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

class ManualClock final : public Clock {
 public:
  absl::Duration Now() const override { return now; }
  absl::Duration now = absl::Seconds(100);
};

class OperatorDeskTest : public ::testing::Test {
 protected:
  OperatorDeskTest()
      : desk_({.num_joints = 2, .max_lease = absl::Seconds(3), .first_lease_id = 7}, &clock_, &panel_,
              &board_) {
    Show(RobotState::kDisarmed);
  }

  void Show(RobotState state, StopReason reason = StopReason::kNone) {
    TickRecord record;
    record.state = state;
    record.reason = reason;
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
  EXPECT_TRUE(panel_.TakeArm());
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
  EXPECT_FALSE(panel_.TakeArm());
}

TEST_F(OperatorDeskTest, NobodyArmsALatchedFaultOrAFailedCheck) {
  Show(RobotState::kFault, StopReason::kLimitExceeded);
  EXPECT_THAT(desk_.Arm("ann", absl::Seconds(1), ArmMode::kLearn),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("limit_exceeded")));
  Show(RobotState::kDisarmed, StopReason::kRepliesLost);
  EXPECT_THAT(desk_.Arm("ann", absl::Seconds(1), ArmMode::kLearn),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("replies_lost")));
  EXPECT_FALSE(panel_.TakeArm());
}

TEST_F(OperatorDeskTest, NobodyArmsBeforeTheLoopRuns) {
  StateBoard empty;
  OperatorDesk desk({.num_joints = 2}, &clock_, &panel_, &empty);
  EXPECT_THAT(desk.Arm("ann", absl::Seconds(1), ArmMode::kLearn),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not started")));
}

TEST_F(OperatorDeskTest, AnArmedRobotDoesNotChangeItsMode) {
  ASSERT_OK(desk_.Arm("ann", absl::Seconds(1), ArmMode::kJog));
  Show(RobotState::kArmed);
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
  EXPECT_OK(desk_.ClearFault([] { return absl::OkStatus(); }));
  EXPECT_FALSE(panel_.emergency_stop());
  EXPECT_TRUE(panel_.TakeClearFault());
}

TEST_F(OperatorDeskTest, ThereIsNothingToClearWithoutAFault) {
  EXPECT_THAT(desk_.ClearFault([] { return absl::OkStatus(); }),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("the robot is disarmed")));
}

TEST_F(OperatorDeskTest, JogsOnlyWhatIsArmedToJogByTheHolder) {
  ASSERT_OK_AND_ASSIGN(const OperatorDesk::Grant grant, desk_.Arm("ann", absl::Seconds(1), ArmMode::kJog));
  EXPECT_THAT(desk_.Jog(grant.lease_id, 1, 0.5, absl::Milliseconds(100)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not armed to jog")));
  Show(RobotState::kArmed);
  EXPECT_OK(desk_.Jog(grant.lease_id, 1, 0.5, absl::Milliseconds(100)));
  EXPECT_EQ(panel_.JogVelocity(1, clock_.now), 0.5);
  EXPECT_EQ(panel_.JogVelocity(1, clock_.now + absl::Milliseconds(100)), 0);
  EXPECT_THAT(desk_.Jog(grant.lease_id + 1, 1, 0.5, absl::Milliseconds(100)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is over")));
  EXPECT_THAT(desk_.Jog(grant.lease_id, 2, 0.5, absl::Milliseconds(100)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("from 0 to 1")));
  EXPECT_THAT(desk_.Jog(grant.lease_id, 1, 0.5, absl::Seconds(1)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("500ms")));
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
