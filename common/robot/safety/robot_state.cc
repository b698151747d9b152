#include "common/robot/safety/robot_state.h"

namespace demorl {

absl::string_view Name(RobotState state) {
  switch (state) {
    case RobotState::kDisarmed:
      return "disarmed";
    case RobotState::kArming:
      return "arming";
    case RobotState::kArmed:
      return "armed";
    case RobotState::kHold:
      return "hold";
    case RobotState::kFault:
      return "fault";
  }
  return "unknown";
}

absl::string_view Name(StopReason reason) {
  switch (reason) {
    case StopReason::kNone:
      return "none";
    case StopReason::kEmergencyStop:
      return "emergency_stop";
    case StopReason::kLeaseLost:
      return "lease_lost";
    case StopReason::kRepliesLost:
      return "replies_lost";
    case StopReason::kSensorsLost:
      return "sensors_lost";
    case StopReason::kPolicyStale:
      return "policy_stale";
    case StopReason::kDeadlineMissed:
      return "deadline_missed";
    case StopReason::kLimitExceeded:
      return "limit_exceeded";
    case StopReason::kOverheated:
      return "overheated";
    case StopReason::kVoltageOutOfRange:
      return "voltage_out_of_range";
    case StopReason::kTrackingError:
      return "tracking_error";
    case StopReason::kDeviceFault:
      return "device_fault";
    case StopReason::kRobotRule:
      return "robot_rule";
    case StopReason::kWatchdogLost:
      return "watchdog_lost";
  }
  return "unknown";
}

absl::string_view Name(SafeAction action) {
  switch (action) {
    case SafeAction::kFree:
      return "free";
    case SafeAction::kDamping:
      return "damping";
    case SafeAction::kHold:
      return "hold";
  }
  return "unknown";
}

bool IsLatched(StopReason reason) {
  return reason != StopReason::kNone && reason != StopReason::kLeaseLost &&
         reason != StopReason::kPolicyStale;
}

}  // namespace demorl
