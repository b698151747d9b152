#pragma once

#include <array>

#include "absl/time/time.h"
#include "common/robot/safety/robot_state.h"

namespace demorl {

// What decides the next state, gathered in one tick.
struct ArmingInputs {
  absl::Duration now;
  // Requests of operators; each counts once.
  bool arm = false;
  bool disarm = false;
  bool clear_fault = false;
  // Pressed, now or since the last clear.
  bool emergency_stop = false;
  // Somebody holds the lease and its heartbeat is in time.
  bool lease_valid = false;
  // What this tick's checks have found; kNone if all is well.
  StopReason finding = StopReason::kNone;
};

struct ArmingOptions {
  // Time in which the allowed torque grows from nothing to all.
  absl::Duration ramp = absl::Seconds(1);
  // How long the motors do the safe action before they go off.
  absl::Duration safe_action_time = absl::Seconds(2);
  // By reason; what is not said otherwise damps.
  std::array<SafeAction, kNumStopReasons> safe_actions = [] {
    std::array<SafeAction, kNumStopReasons> actions{};
    actions.fill(SafeAction::kDamping);
    return actions;
  }();
};

// Whether a robot may move. One step per control tick; the rules, strongest first:
//   1. An emergency stop leads to kFault from every state.
//   2. kFault ends only by clear_fault, once nothing is found that would be latched again, and ends in
//   kDisarmed.
//   3. disarm leads to kDisarmed.
//   4. With motors on, a finding that is latched leads to kFault, another one or a lost lease to kHold.
//   5. arm leads from kDisarmed or kHold to kArming, if the lease is valid and nothing has been found.
//   6. kArming becomes kArmed after the ramp, kHold becomes kDisarmed after the safe action.
// So a robot that has stopped never moves again without a new arm. Plain data and real-time safe.
class ArmingStateMachine {
 public:
  explicit ArmingStateMachine(const ArmingOptions& options) : options_(options) {}

  void Step(const ArmingInputs& inputs);

  RobotState state() const { return state_; }
  // Why it is in kHold or kFault; kNone elsewhere.
  StopReason reason() const { return reason_; }

  // Share of torque allowed: 0 with motors off, the ramp in kArming, 1 elsewhere.
  double TorqueShare(absl::Duration now) const;

  // What the motors do in kHold and kFault: the action of the reason, then kFree.
  SafeAction CurrentSafeAction(absl::Duration now) const;

 private:
  RobotState NextState(const ArmingInputs& inputs, StopReason& reason) const;
  RobotState NextWithMotorsOn(const ArmingInputs& inputs, StopReason& reason) const;
  bool SafeActionIsOver(absl::Duration now) const { return now - since_ >= options_.safe_action_time; }

  const ArmingOptions options_;
  RobotState state_ = RobotState::kDisarmed;
  StopReason reason_ = StopReason::kNone;
  absl::Duration since_;  // when the state was entered
};

}  // namespace demorl
