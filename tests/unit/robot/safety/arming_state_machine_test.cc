#include "common/robot/safety/arming_state_machine.h"

#include <functional>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace demorl {
namespace {

constexpr absl::Duration kRamp = absl::Seconds(1);
constexpr absl::Duration kSafeActionTime = absl::Seconds(2);

ArmingOptions Options() { return {.ramp = kRamp, .safe_action_time = kSafeActionTime}; }

bool MotorsAct(RobotState state) { return state == RobotState::kArming || state == RobotState::kArmed; }

// A machine brought into a state at time 0, with motors that have just been stopped in kHold and kFault.
ArmingStateMachine MachineIn(RobotState state) {
  ArmingStateMachine machine(Options());
  const absl::Duration start = -kRamp;
  if (state == RobotState::kDisarmed) {
    return machine;
  }
  machine.Step(
      {.now = state == RobotState::kArming ? absl::ZeroDuration() : start, .arm = true, .lease_valid = true});
  if (state == RobotState::kArmed) {
    machine.Step({.lease_valid = true});
  } else if (state == RobotState::kHold) {
    machine.Step({});
  } else if (state == RobotState::kFault) {
    machine.Step({.lease_valid = true, .finding = StopReason::kRepliesLost});
  }
  return machine;
}

constexpr RobotState kStates[] = {RobotState::kDisarmed, RobotState::kArming, RobotState::kArmed,
                                  RobotState::kHold, RobotState::kFault};

// Every input that there is, at each side of every time limit.
std::vector<ArmingInputs> AllInputs() {
  std::vector<ArmingInputs> all;
  for (const absl::Duration now : {absl::ZeroDuration(), kRamp - absl::Nanoseconds(1), kRamp,
                                   kSafeActionTime - absl::Nanoseconds(1), kSafeActionTime, absl::Hours(1)}) {
    for (int bits = 0; bits < 32; ++bits) {
      for (int finding = 0; finding < kNumStopReasons; ++finding) {
        all.push_back({.now = now,
                       .arm = (bits & 1) != 0,
                       .disarm = (bits & 2) != 0,
                       .clear_fault = (bits & 4) != 0,
                       .emergency_stop = (bits & 8) != 0,
                       .lease_valid = (bits & 16) != 0,
                       .finding = static_cast<StopReason>(finding)});
      }
    }
  }
  return all;
}

// Calls `visit` for each state and each input, with the machine after the step.
void ForEachStep(
    const std::function<void(RobotState, const ArmingInputs&, const ArmingStateMachine&)>& visit) {
  for (const RobotState before : kStates) {
    for (const ArmingInputs& inputs : AllInputs()) {
      ArmingStateMachine machine = MachineIn(before);
      ASSERT_EQ(machine.state(), before);
      machine.Step(inputs);
      visit(before, inputs, machine);
    }
  }
}

TEST(ArmingStateMachineTest, TakesExactlyTheEdgesItShould) {
  using enum RobotState;
  std::map<RobotState, std::set<RobotState>> edges;
  ForEachStep([&](RobotState before, const ArmingInputs&, const ArmingStateMachine& after) {
    edges[before].insert(after.state());
  });
  EXPECT_EQ(edges[kDisarmed], (std::set{kDisarmed, kArming, kFault}));
  EXPECT_EQ(edges[kArming], (std::set{kArming, kArmed, kDisarmed, kHold, kFault}));
  EXPECT_EQ(edges[kArmed], (std::set{kArmed, kDisarmed, kHold, kFault}));
  EXPECT_EQ(edges[kHold], (std::set{kHold, kArming, kDisarmed, kFault}));
  EXPECT_EQ(edges[kFault], (std::set{kFault, kDisarmed}));
}

TEST(ArmingStateMachineTest, AnEmergencyStopWinsOverEverything) {
  ForEachStep([](RobotState, const ArmingInputs& inputs, const ArmingStateMachine& after) {
    if (inputs.emergency_stop) {
      EXPECT_EQ(after.state(), RobotState::kFault);
      EXPECT_EQ(after.reason(), StopReason::kEmergencyStop);
    }
  });
}

TEST(ArmingStateMachineTest, AFaultEndsOnlyByAClearOnceItsCauseIsGone) {
  ForEachStep([](RobotState before, const ArmingInputs& inputs, const ArmingStateMachine& after) {
    if (before == RobotState::kFault) {
      const bool cleared = inputs.clear_fault && !inputs.emergency_stop && !IsLatched(inputs.finding);
      EXPECT_EQ(after.state(), cleared ? RobotState::kDisarmed : RobotState::kFault);
    }
  });
}

TEST(ArmingStateMachineTest, NobodyActsWithoutALease) {
  ForEachStep([](RobotState, const ArmingInputs& inputs, const ArmingStateMachine& after) {
    if (!inputs.lease_valid) {
      EXPECT_FALSE(MotorsAct(after.state()));
    }
  });
}

TEST(ArmingStateMachineTest, NobodyActsOnceSomethingIsFound) {
  ForEachStep([](RobotState before, const ArmingInputs& inputs, const ArmingStateMachine& after) {
    if (inputs.finding == StopReason::kNone) {
      return;
    }
    EXPECT_FALSE(MotorsAct(after.state()));
    if (MotorsAct(before) && !inputs.disarm && !inputs.emergency_stop) {
      EXPECT_EQ(after.state(), IsLatched(inputs.finding) ? RobotState::kFault : RobotState::kHold);
    }
  });
}

TEST(ArmingStateMachineTest, WhatHasStoppedMovesAgainOnlyByANewArm) {
  ForEachStep([](RobotState before, const ArmingInputs& inputs, const ArmingStateMachine& after) {
    if (!MotorsAct(before) && MotorsAct(after.state())) {
      EXPECT_TRUE(inputs.arm);
      EXPECT_EQ(after.state(), RobotState::kArming);
    }
  });
}

TEST(ArmingStateMachineTest, DisarmTurnsTheMotorsOffUnlessAFaultIsLatched) {
  ForEachStep([](RobotState before, const ArmingInputs& inputs, const ArmingStateMachine& after) {
    if (inputs.disarm && !inputs.emergency_stop && before != RobotState::kFault) {
      EXPECT_EQ(after.state(), RobotState::kDisarmed);
    }
  });
}

TEST(ArmingStateMachineTest, AReasonIsToldExactlyWhileItHolds) {
  ForEachStep([](RobotState, const ArmingInputs&, const ArmingStateMachine& after) {
    const bool stopped = after.state() == RobotState::kHold || after.state() == RobotState::kFault;
    EXPECT_EQ(after.reason() != StopReason::kNone, stopped);
  });
}

TEST(ArmingStateMachineTest, TorqueGrowsOverTheRamp) {
  const ArmingStateMachine machine = MachineIn(RobotState::kArming);
  EXPECT_EQ(machine.TorqueShare(absl::ZeroDuration()), 0);
  EXPECT_NEAR(machine.TorqueShare(kRamp / 4), 0.25, 1e-9);
  EXPECT_EQ(machine.TorqueShare(2 * kRamp), 1);
  EXPECT_EQ(MachineIn(RobotState::kDisarmed).TorqueShare(kRamp), 0);
}

TEST(ArmingStateMachineTest, TheSafeActionIsThatOfTheReasonAndThenFree) {
  ArmingOptions options = Options();
  options.safe_actions[static_cast<size_t>(StopReason::kLeaseLost)] = SafeAction::kHold;
  ArmingStateMachine machine(options);
  machine.Step({.arm = true, .lease_valid = true});
  machine.Step({.now = kRamp});
  ASSERT_EQ(machine.reason(), StopReason::kLeaseLost);
  EXPECT_EQ(machine.CurrentSafeAction(kRamp), SafeAction::kHold);
  EXPECT_EQ(machine.CurrentSafeAction(kRamp + kSafeActionTime), SafeAction::kFree);
  EXPECT_EQ(MachineIn(RobotState::kFault).CurrentSafeAction(absl::ZeroDuration()), SafeAction::kDamping);
}

TEST(ArmingStateMachineTest, AnEmergencyStopDoesNotTurnMotorsOn) {
  ArmingStateMachine machine = MachineIn(RobotState::kDisarmed);
  machine.Step({.emergency_stop = true});
  ASSERT_EQ(machine.state(), RobotState::kFault);
  EXPECT_EQ(machine.CurrentSafeAction(absl::ZeroDuration()), SafeAction::kFree);

  ArmingStateMachine stopped = MachineIn(RobotState::kFault);
  stopped.Step({.now = kSafeActionTime, .emergency_stop = true});
  EXPECT_EQ(stopped.CurrentSafeAction(kSafeActionTime), SafeAction::kFree);
}

}  // namespace
}  // namespace demorl
