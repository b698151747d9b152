#include "common/robot/control/robot_loop.h"

#include <functional>
#include <limits>
#include <vector>

#include "gmock/gmock.h"
#include "tests/fakes/fake_robot.h"
#include "tests/fakes/policies.h"
#include "tests/testing/counting_allocator.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

constexpr absl::Duration kPeriod = absl::Milliseconds(2);
constexpr int kNumJoints = 2;

class SilentImu final : public Imu {
 public:
  absl::Status Start() override { return absl::OkStatus(); }
  bool Poll(ImuSample& sample) override {
    if (speaks) {
      sample.time = time;
    }
    return speaks;
  }
  ImuCounters counters() const override { return {}; }

  bool speaks = true;
  absl::Duration time;
};

// A loop that a test ticks by hand, on a clock of its own.
class RobotLoopTest : public ::testing::Test {
 protected:
  RobotLoopTest() : bus_(kNumJoints), task_(kNumJoints, /*max_episode_steps=*/20), records_(64) {
    options_.control_period = kPeriod;
    options_.arming = {.ramp = 5 * kPeriod, .safe_action_time = 10 * kPeriod};
    panel_.SetLeaseExpiry(absl::Hours(1));
  }

  RobotLoop& loop() {
    if (loop_ == nullptr) {
      loop_ = std::make_unique<RobotLoop>(options_,
                                          RobotLoop::Parts{.task = &task_,
                                                           .bus = &bus_,
                                                           .imu = imu_,
                                                           .panel = &panel_,
                                                           .records = &records_,
                                                           .limits = FakeRobotLimits(kNumJoints)},
                                          /*seed=*/1);
    }
    return *loop_;
  }

  const TickRecord& RunTick(int missed = 0) {
    tick_.index += missed + 1;
    tick_.missed = missed;
    tick_.scheduled += (missed + 1) * kPeriod;
    tick_.woke = tick_.scheduled;
    loop().RunTick(tick_);
    EXPECT_TRUE(records_.TryPop(record_));
    return record_;
  }
  const TickRecord& RunTicks(int num_ticks) {
    for (int i = 0; i < num_ticks; ++i) {
      RunTick();
    }
    return record_;
  }

  // Until an episode has begun.
  void Arm(ArmMode mode = ArmMode::kLearn) {
    RunTick();
    panel_.RequestArm(mode);
    for (int i = 0; i < 10 && RunTick().state != RobotState::kArmed; ++i) {
    }
    ASSERT_EQ(record_.state, RobotState::kArmed);
  }

  void OfferPolicy(float bias, uint64_t version) {
    auto policy = std::make_unique<LoopPolicy>();
    ASSERT_OK_AND_ASSIGN(policy->network, MlpPolicy::Create(ConstantPolicy(2 * kNumJoints, kNumJoints, bias),
                                                            2 * kNumJoints, kNumJoints));
    policy->version = version;
    policy->received = tick_.woke;
    loop().OfferPolicy(std::move(policy));
  }

  ActuatorMode ModeOfAll() const {
    EXPECT_EQ(bus_.commands[0].mode, bus_.commands[1].mode);
    return bus_.commands[0].mode;
  }

  RobotLoopOptions options_;
  FakeActuatorBus bus_;
  FakeRobotTask task_;
  OperatorPanel panel_;
  Imu* imu_ = nullptr;
  SpscRing<TickRecord> records_;
  std::unique_ptr<RobotLoop> loop_;
  Tick tick_;
  TickRecord record_;
};

TEST_F(RobotLoopTest, StartsWithMotorsOffAndStaysSo) {
  EXPECT_EQ(RunTicks(20).state, RobotState::kDisarmed);
  EXPECT_EQ(ModeOfAll(), ActuatorMode::kFree);
  EXPECT_EQ(record_.step, TickStep::kNone);
}

TEST_F(RobotLoopTest, ArmsOverTheRampAndThenBeginsAnEpisode) {
  RunTick();
  panel_.RequestArm(ArmMode::kLearn);
  EXPECT_EQ(RunTick().state, RobotState::kArming);
  EXPECT_EQ(record_.source, ActionSource::kReset);
  EXPECT_EQ(record_.torque_share, 0);
  RunTick();
  EXPECT_NEAR(record_.torque_share, 0.2, 1e-9);
  EXPECT_NEAR(bus_.commands[0].stiffness_nm_rad, 0.2, 1e-9);
  EXPECT_EQ(RunTicks(4).state, RobotState::kArmed);
  EXPECT_EQ(record_.step, TickStep::kFirst);
  EXPECT_EQ(ModeOfAll(), ActuatorMode::kTorque);
  EXPECT_EQ(RunTick().step, TickStep::kMid);
}

TEST_F(RobotLoopTest, BeginsNoEpisodeBeforeTheRobotIsWhereTheyBegin) {
  bus_.state[0].position_rad = 0.5;
  Arm();
  EXPECT_EQ(RunTicks(10).step, TickStep::kNone);
  EXPECT_EQ(ModeOfAll(), ActuatorMode::kPosition);
  bus_.state[0].position_rad = 0.05;
  EXPECT_EQ(RunTick().step, TickStep::kFirst);
}

TEST_F(RobotLoopTest, AnEpisodeIsTruncatedAtItsStepLimitAndTerminatedByItsRule) {
  Arm();
  for (int i = 1; i < 20; ++i) {
    ASSERT_EQ(RunTick().step, TickStep::kMid) << i;
  }
  EXPECT_EQ(RunTick().step, TickStep::kLast);
  EXPECT_FALSE(record_.terminated);
  EXPECT_EQ(RunTick().step, TickStep::kFirst);
  bus_.state[0].position_rad = 0.95;
  EXPECT_EQ(RunTick().step, TickStep::kLast);
  EXPECT_TRUE(record_.terminated);
  EXPECT_NEAR(record_.reward, 0.95, 1e-9);
  EXPECT_EQ(task_.num_episodes, 2);
}

TEST_F(RobotLoopTest, ActsAtRandomUntilLearningHasStartedThenByPolicy) {
  OfferPolicy(/*bias=*/1, /*version=*/7);
  Arm();
  EXPECT_EQ(record_.source, ActionSource::kRandom);
  EXPECT_EQ(record_.policy_version, 0);
  loop().SetLearningStarted(true);
  RunTick();
  EXPECT_EQ(record_.source, ActionSource::kPolicy);
  EXPECT_EQ(record_.policy_version, 7);
  EXPECT_NEAR(record_.action[1], std::tanh(1.0f), 1e-5);
  EXPECT_NEAR(bus_.commands[1].torque_nm, std::tanh(1.0), 1e-5);
}

TEST_F(RobotLoopTest, ANewPolicyActsFromTheNextTickOnWithinTheEpisode) {
  OfferPolicy(1, 7);
  loop().SetLearningStarted(true);
  Arm();
  OfferPolicy(-1, 8);
  RunTick();
  EXPECT_EQ(record_.policy_version, 8);
  EXPECT_EQ(record_.step, TickStep::kMid);
  EXPECT_LT(record_.action[0], 0);
}

TEST_F(RobotLoopTest, APulledCableIsAFaultWithinOneTick) {
  Arm();
  bus_.unplugged = true;
  EXPECT_EQ(RunTick().state, RobotState::kFault);
  EXPECT_EQ(record_.reason, StopReason::kRepliesLost);
  EXPECT_EQ(ModeOfAll(), ActuatorMode::kDamping);
}

TEST_F(RobotLoopTest, ABusThatNobodyWatchesIsAFaultInTheNextTickAndForbidsArming) {
  Arm();
  bus_.write_code = BusResult::Code::kUnwatched;
  EXPECT_EQ(RunTick().state, RobotState::kArmed);
  EXPECT_EQ(RunTick().state, RobotState::kFault);
  EXPECT_EQ(record_.reason, StopReason::kWatchdogLost);
  EXPECT_EQ(ModeOfAll(), ActuatorMode::kDamping);
  panel_.ClearFault(0);
  EXPECT_EQ(RunTick().state, RobotState::kFault);
  bus_.write_code = BusResult::Code::kOk;
  RunTick();
  panel_.ClearFault(0);
  EXPECT_EQ(RunTick().state, RobotState::kDisarmed);
}

TEST_F(RobotLoopTest, ASilentActuatorIsAFaultOnceItHasMissedMoreThanAllowed) {
  Arm();
  bus_.answers[1] = false;
  EXPECT_EQ(RunTicks(options_.max_missed_replies).state, RobotState::kArmed);
  EXPECT_EQ(RunTick().state, RobotState::kFault);
  EXPECT_EQ(record_.reason, StopReason::kRepliesLost);
}

TEST_F(RobotLoopTest, ALostLeaseHoldsWithinOneTickAndThenFrees) {
  Arm();
  panel_.SetLeaseExpiry(tick_.woke);
  EXPECT_EQ(RunTick().state, RobotState::kHold);
  EXPECT_EQ(record_.reason, StopReason::kLeaseLost);
  EXPECT_EQ(ModeOfAll(), ActuatorMode::kDamping);
  RunTicks(10);
  EXPECT_EQ(record_.state, RobotState::kDisarmed);
  EXPECT_EQ(ModeOfAll(), ActuatorMode::kFree);
  panel_.SetLeaseExpiry(absl::Hours(1));
  EXPECT_EQ(RunTicks(5).state, RobotState::kDisarmed);  // no silent resume
}

TEST_F(RobotLoopTest, HoldStaysWhereTheJointsWere) {
  options_.arming.safe_actions[static_cast<size_t>(StopReason::kLeaseLost)] = SafeAction::kHold;
  Arm();
  bus_.state[0].position_rad = 0.4;
  panel_.SetLeaseExpiry(tick_.woke);
  RunTick();
  bus_.state[0].position_rad = 0.6;
  RunTick();
  EXPECT_EQ(ModeOfAll(), ActuatorMode::kPosition);
  EXPECT_EQ(bus_.commands[0].position_rad, 0.4);
}

TEST_F(RobotLoopTest, AnEmergencyStopActsWithinTwoTicksAndIsLatched) {
  Arm();
  panel_.EmergencyStop();
  EXPECT_EQ(RunTicks(2).state, RobotState::kFault);
  EXPECT_EQ(record_.reason, StopReason::kEmergencyStop);
  EXPECT_NE(ModeOfAll(), ActuatorMode::kTorque);
  panel_.RequestArm(ArmMode::kLearn);
  EXPECT_EQ(RunTicks(20).state, RobotState::kFault);
  EXPECT_EQ(ModeOfAll(), ActuatorMode::kFree);
  panel_.ClearFault(panel_.num_emergency_stops());
  EXPECT_EQ(RunTick().state, RobotState::kDisarmed);
}

TEST_F(RobotLoopTest, MeasurementsOutOfBoundsStopTheRobot) {
  Arm();
  bus_.state[1].position_rad = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(RunTick().reason, StopReason::kSensorsLost);
  EXPECT_EQ(record_.state, RobotState::kFault);
}

TEST_F(RobotLoopTest, ANonFiniteActionDampsTheJointsAndIsCounted) {
  Arm();
  task_.poisons_commands = true;
  RunTick();
  EXPECT_EQ(record_.clamps[static_cast<size_t>(Clamp::kNonFinite)], kNumJoints);
  EXPECT_EQ(ModeOfAll(), ActuatorMode::kDamping);
}

TEST_F(RobotLoopTest, TooManyMissedTicksAreAFault) {
  Arm();
  EXPECT_EQ(RunTick(/*missed=*/options_.max_missed_ticks).state, RobotState::kArmed);
  EXPECT_EQ(RunTick(/*missed=*/options_.max_missed_ticks + 1).state, RobotState::kFault);
  EXPECT_EQ(record_.reason, StopReason::kDeadlineMissed);
}

TEST_F(RobotLoopTest, MissedTicksPassForTheTaskToo) {
  Arm();
  const int before = task_.periods_evaluated;
  RunTick(/*missed=*/3);
  EXPECT_EQ(task_.periods_evaluated, before + 4);
}

TEST_F(RobotLoopTest, AnOldPolicyHoldsTheRobot) {
  options_.max_policy_age = 30 * kPeriod;
  OfferPolicy(1, 7);
  loop().SetLearningStarted(true);
  Arm();
  EXPECT_EQ(RunTicks(40).reason, StopReason::kPolicyStale);
  EXPECT_NE(record_.state, RobotState::kArmed);
}

TEST_F(RobotLoopTest, WithoutAPolicyNothingIsArmedThatMayNotActAtRandom) {
  options_.random_actions_allowed = false;
  RunTick();
  panel_.RequestArm(ArmMode::kLearn);
  EXPECT_EQ(RunTicks(2).state, RobotState::kDisarmed);
  EXPECT_EQ(record_.reason, StopReason::kPolicyStale);
}

TEST_F(RobotLoopTest, ASilentImuIsAFault) {
  SilentImu imu;
  imu_ = &imu;
  options_.max_imu_age = 4 * kPeriod;
  imu.time = 20 * kPeriod;
  Arm();
  imu.speaks = false;
  EXPECT_EQ(RunTicks(30).reason, StopReason::kSensorsLost);
}

TEST_F(RobotLoopTest, JoggingMovesOneJointWhileTheSwitchIsHeld) {
  Arm(ArmMode::kJog);
  EXPECT_EQ(record_.step, TickStep::kNone);
  panel_.Jog(1, /*velocity_rad_s=*/1, tick_.woke + 10 * kPeriod);
  RunTicks(9);
  EXPECT_EQ(ModeOfAll(), ActuatorMode::kPosition);
  EXPECT_NEAR(bus_.commands[1].position_rad, 9 * 0.002, 1e-9);
  EXPECT_EQ(bus_.commands[1].velocity_rad_s, 1);
  RunTick();
  EXPECT_EQ(bus_.commands[1].velocity_rad_s, 0);
  EXPECT_EQ(bus_.commands[0].position_rad, 0);
  EXPECT_EQ(record_.source, ActionSource::kOperator);
}

TEST_F(RobotLoopTest, AnOperatorActsInThePolicysPlaceUntilTheInterventionExpires) {
  OfferPolicy(/*bias=*/1, /*version=*/7);
  loop().SetLearningStarted(true);
  Arm();
  panel_.Intervene({.action = {-0.25f, 0.5f}, .expiry = tick_.woke + 3 * kPeriod});
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(RunTick().source, ActionSource::kOperator);
    EXPECT_EQ(record_.step, TickStep::kMid);
    EXPECT_EQ(record_.policy_version, 0);
    EXPECT_EQ(record_.action[0], -0.25f);
    EXPECT_EQ(bus_.commands[1].torque_nm, 0.5);
  }
  EXPECT_EQ(RunTick().source, ActionSource::kPolicy);
  EXPECT_EQ(record_.policy_version, 7);
  panel_.Intervene({.action = {1, 1}, .expiry = tick_.woke + absl::Hours(1)});
  EXPECT_EQ(RunTick().source, ActionSource::kOperator);
  panel_.StopIntervention();
  EXPECT_EQ(RunTick().source, ActionSource::kPolicy);
}

TEST_F(RobotLoopTest, ADryRunCommandsInItsRecordsOnly) {
  OfferPolicy(1, 7);
  loop().SetLearningStarted(true);
  bus_.state[0].position_rad = 0.5;  // not where episodes begin
  Arm(ArmMode::kDryRun);
  RunTicks(3);
  EXPECT_EQ(ModeOfAll(), ActuatorMode::kFree);
  EXPECT_EQ(record_.commanded[0].mode, ActuatorMode::kTorque);
  EXPECT_GT(record_.commanded[0].torque_nm, 0.5);
  EXPECT_EQ(record_.step, TickStep::kNone);
}

TEST_F(RobotLoopTest, WhatEndsADryRunTurnsNoMotorOn) {
  options_.arming.safe_actions.fill(SafeAction::kHold);
  for (const auto& mishap : std::vector<std::function<void()>>{[&] { panel_.SetLeaseExpiry(tick_.woke); },
                                                               [&] { panel_.EmergencyStop(); }}) {
    Arm(ArmMode::kDryRun);
    mishap();
    EXPECT_NE(RunTick().state, RobotState::kArmed);
    EXPECT_EQ(ModeOfAll(), ActuatorMode::kFree);
    RunTicks(20);
    panel_.SetLeaseExpiry(absl::Hours(1));
  }
}

TEST_F(RobotLoopTest, AnArmedRobotKeepsItsMode) {
  Arm(ArmMode::kDryRun);
  panel_.RequestArm(ArmMode::kLearn);
  RunTicks(3);
  EXPECT_EQ(record_.mode, ArmMode::kDryRun);
  EXPECT_EQ(ModeOfAll(), ActuatorMode::kFree);
}

TEST_F(RobotLoopTest, AnArmedRobotIsJudgedByItsOwnMode) {
  options_.random_actions_allowed = false;  // and there is no policy
  Arm(ArmMode::kJog);
  panel_.RequestArm(ArmMode::kLearn);
  EXPECT_EQ(RunTicks(3).state, RobotState::kArmed);
}

TEST_F(RobotLoopTest, AJoggedTargetIsNeverFarAheadAndStaysWhereTheJointIsOnceLetGo) {
  Arm(ArmMode::kJog);
  panel_.Jog(1, /*velocity_rad_s=*/15, tick_.woke + 20 * kPeriod);
  RunTicks(15);
  EXPECT_NEAR(bus_.commands[1].position_rad, 0.1, 1e-9);
  bus_.state[1].position_rad = 0.05;
  RunTicks(30);
  EXPECT_NEAR(bus_.commands[1].position_rad, 0.05, 1e-9);
}

TEST_F(RobotLoopTest, AnActuatorThatHasNeverAnsweredForbidsArming) {
  bus_.answers[1] = false;
  panel_.RequestArm(ArmMode::kLearn);
  EXPECT_EQ(RunTick().state, RobotState::kDisarmed);
  EXPECT_EQ(record_.finding, StopReason::kRepliesLost);
}

TEST_F(RobotLoopTest, TheRecordHoldsWhatWasAskedAndWhatWasSent) {
  OfferPolicy(3, 7);
  loop().SetLearningStarted(true);
  bus_.state[0].velocity_rad_s = 19;  // where torque tapers
  Arm();
  EXPECT_GT(record_.requested[0].torque_nm, 0.9);
  EXPECT_LT(record_.commanded[0].torque_nm, 0.6);
  EXPECT_EQ(record_.clamps[static_cast<size_t>(Clamp::kVelocityTaper)], 1);
  EXPECT_EQ(record_.index, tick_.index);
  EXPECT_EQ(record_.measured[0].velocity_rad_s, 19);
}

TEST_F(RobotLoopTest, AFullRingCostsTheRecordAndNothingElse) {
  loop();
  for (size_t i = 0; i <= records_.capacity(); ++i) {
    tick_.woke += kPeriod;
    loop().RunTick(tick_);
  }
  EXPECT_EQ(loop().num_dropped_records(), 1);
}

TEST_F(RobotLoopTest, ATickAllocatesNothingWhateverHappens) {
  if (!CountsAllocations()) {
    GTEST_SKIP();
  }
  OfferPolicy(1, 7);
  loop().SetLearningStarted(true);
  Arm();
  const auto allocations_of = [&](auto event) {
    event();
    const int64_t before = NumAllocations();
    tick_.woke += kPeriod;
    loop().RunTick(tick_);
    return NumAllocations() - before;
  };
  EXPECT_EQ(allocations_of([] {}), 0);
  EXPECT_EQ(allocations_of([&] { OfferPolicy(-1, 8); }), 0);
  EXPECT_EQ(allocations_of([&] { bus_.state[0].position_rad = 0.95; }), 0);
  EXPECT_EQ(allocations_of([&] { panel_.EmergencyStop(); }), 0);
  EXPECT_EQ(allocations_of([&] { bus_.unplugged = true; }), 0);
}

}  // namespace
}  // namespace demorl
