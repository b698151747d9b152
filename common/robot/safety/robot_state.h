#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"

namespace demorl {

// What a robot's motors may do. Motors are on in kArming, kArmed, kHold and, while a safe action lasts,
// kFault.
enum class RobotState : uint8_t {
  // Motors off; the state after a start.
  kDisarmed,
  // Somebody holds the lease; the share of torque allowed ramps from 0 to 1.
  kArming,
  // The policy, or an operator's jog, moves the robot.
  kArmed,
  // A loss that a new Arm may end: motors do the safe action of its reason, then go off.
  kHold,
  // As kHold, and latched until a local ClearFault.
  kFault,
};
inline constexpr int kNumRobotStates = 5;

// Why a robot went to kHold or kFault, or was refused arming.
enum class StopReason : uint8_t {
  kNone,
  kEmergencyStop,
  // The holder's heartbeat stayed away.
  kLeaseLost,
  // An actuator has not answered for longer than allowed, or the bus is gone.
  kRepliesLost,
  // Measurements are not finite or out of their plausible range, or the IMU is silent.
  kSensorsLost,
  // No policy, or one older than the limit.
  kPolicyStale,
  // The control loop missed more ticks in a row than allowed.
  kDeadlineMissed,
  // A joint is beyond its hard position or velocity limit.
  kLimitExceeded,
  kOverheated,
  kVoltageOutOfRange,
  // A joint does not follow its command.
  kTrackingError,
  // A device reports a fault of its own.
  kDeviceFault,
  // The robot fell, or another rule of the robot itself.
  kRobotRule,
  // Nothing frees the motors if the gateway dies: its bus watchdog has ended.
  kWatchdogLost,
};
inline constexpr int kNumStopReasons = 14;

// What the motors do once the robot may no longer act.
enum class SafeAction : uint8_t {
  // Off at once.
  kFree,
  // Resist motion.
  kDamping,
  // Stay where the joints were.
  kHold,
};

// What an armed robot does.
enum class ArmMode : uint8_t {
  // Episodes, by policy or at random.
  kLearn,
  // Holds still, and moves single joints as operators jog them. Nothing is learned from it.
  kJog,
  // As kLearn from where it is, but the motors stay off and nothing is learned: what would be commanded is in
  // the
  // records.
  kDryRun,
};

// Names as operators and metrics see them: "armed", "lease_lost", "damping".
absl::string_view Name(RobotState state);
absl::string_view Name(StopReason reason);
absl::string_view Name(SafeAction action);

// Whether `reason` is latched: the robot goes to kFault and stays until a local clear.
bool IsLatched(StopReason reason);

}  // namespace demorl
