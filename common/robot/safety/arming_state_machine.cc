#include "common/robot/safety/arming_state_machine.h"

#include <algorithm>

namespace demorl {

void ArmingStateMachine::Step(const ArmingInputs& inputs) {
  StopReason reason = reason_;
  const RobotState next = NextState(inputs, reason);
  if (next != state_) {
    // Motors that are off stay off: a stop then has no safe action to do.
    const bool motors_off = state_ == RobotState::kDisarmed && next == RobotState::kFault;
    since_ = motors_off ? -absl::InfiniteDuration() : inputs.now;
  }
  state_ = next;
  reason_ = next == RobotState::kHold || next == RobotState::kFault ? reason : StopReason::kNone;
}

RobotState ArmingStateMachine::NextState(const ArmingInputs& inputs, StopReason& reason) const {
  if (inputs.emergency_stop) {
    reason = StopReason::kEmergencyStop;
    return RobotState::kFault;
  }
  if (state_ == RobotState::kFault) {
    const bool cleared = inputs.clear_fault && !IsLatched(inputs.finding);
    return cleared ? RobotState::kDisarmed : RobotState::kFault;
  }
  if (inputs.disarm) {
    return RobotState::kDisarmed;
  }
  if (state_ == RobotState::kDisarmed) {
    const bool may_arm = inputs.arm && inputs.lease_valid && inputs.finding == StopReason::kNone;
    return may_arm ? RobotState::kArming : RobotState::kDisarmed;
  }
  return NextWithMotorsOn(inputs, reason);
}

RobotState ArmingStateMachine::NextWithMotorsOn(const ArmingInputs& inputs, StopReason& reason) const {
  if (IsLatched(inputs.finding)) {
    reason = inputs.finding;
    return RobotState::kFault;
  }
  const bool may_act = inputs.lease_valid && inputs.finding == StopReason::kNone;
  if (state_ == RobotState::kHold) {
    if (inputs.arm && may_act) {
      return RobotState::kArming;
    }
    return SafeActionIsOver(inputs.now) ? RobotState::kDisarmed : RobotState::kHold;
  }
  if (!may_act) {
    reason = inputs.lease_valid ? inputs.finding : StopReason::kLeaseLost;
    return RobotState::kHold;
  }
  const bool ramp_is_over = inputs.now - since_ >= options_.ramp;
  return state_ == RobotState::kArming && !ramp_is_over ? RobotState::kArming : RobotState::kArmed;
}

double ArmingStateMachine::TorqueShare(absl::Duration now) const {
  switch (state_) {
    case RobotState::kDisarmed:
      return 0;
    case RobotState::kArming:
      return options_.ramp <= absl::ZeroDuration()
                 ? 1.0
                 : std::clamp(absl::FDivDuration(now - since_, options_.ramp), 0.0, 1.0);
    default:
      return 1;
  }
}

SafeAction ArmingStateMachine::CurrentSafeAction(absl::Duration now) const {
  return SafeActionIsOver(now) ? SafeAction::kFree : options_.safe_actions[static_cast<size_t>(reason_)];
}

}  // namespace demorl
