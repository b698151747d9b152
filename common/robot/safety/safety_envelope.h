#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/robot/drivers/actuator_bus.h"
#include "common/robot/safety/robot_state.h"

namespace demorl {

// Joints of the largest robot; records and buffers of control loops are sized by it.
inline constexpr int kMaxJoints = 16;

// Bounds of one joint. Positive and finite where not said otherwise; a robot whose limits are not all set
// does not start. Practice after Polymetis's: the maker's limit minus a margin, with a soft zone before it.
struct JointLimits {
  std::string joint_name;
  double minimum_position_rad = std::numeric_limits<double>::quiet_NaN();
  double maximum_position_rad = std::numeric_limits<double>::quiet_NaN();
  // Within this distance of a position limit a spring pushes back.
  double soft_zone_rad = std::numeric_limits<double>::quiet_NaN();
  double soft_zone_stiffness_nm_rad = std::numeric_limits<double>::quiet_NaN();
  double maximum_velocity_rad_s = std::numeric_limits<double>::quiet_NaN();
  // From this share of the maximum velocity on, accelerating torque tapers linearly to 0 at the maximum.
  double velocity_taper_share = 0.8;
  double maximum_torque_nm = std::numeric_limits<double>::quiet_NaN();
  double maximum_torque_rate_nm_s = std::numeric_limits<double>::quiet_NaN();
  double maximum_temperature_c = 80;
  double minimum_voltage_v = 0;
  double maximum_voltage_v = std::numeric_limits<double>::infinity();
  // Of a joint in position mode; infinite for none.
  double maximum_tracking_error_rad = std::numeric_limits<double>::infinity();
  // Gains of the safe actions: damping of kDamping and kHold, stiffness of kHold.
  double safe_damping_nm_s_rad = std::numeric_limits<double>::quiet_NaN();
  double hold_stiffness_nm_rad = std::numeric_limits<double>::quiet_NaN();
};

// INVALID_ARGUMENT for limits that are missing or contradict themselves; FAILED_PRECONDITION where they
// exceed what the device says it can do. Names the joint, the limit, what was found and what is allowed.
// `devices` in joint order.
absl::Status CheckLimits(std::span<const JointLimits> limits, std::span<const ActuatorInfo> devices);

// Ways in which a command was changed on its way to a joint.
enum class Clamp : uint8_t {
  kNonFinite,
  kTorque,
  kTorqueRate,
  kVelocityTaper,
  kSoftZone,
  kPosition,
};
inline constexpr int kNumClamps = 6;
absl::string_view Name(Clamp clamp);

// The last thing between a policy and the motors. Holds the torques of the last tick, for the limit on their
// rate. Real-time safe after construction. Thread-compatible.
class SafetyEnvelope {
 public:
  struct Verdict {
    // kNone if the robot may go on.
    StopReason reason = StopReason::kNone;
    // Of the first joint concerned; -1 for none.
    int joint = -1;
  };
  // Of one Apply: how many joints were clamped, by reason.
  using Clamps = std::array<uint8_t, kNumClamps>;

  // Limits as CheckLimits accepts them; at most kMaxJoints.
  SafetyEnvelope(std::vector<JointLimits> limits, absl::Duration control_period);

  int num_joints() const { return static_cast<int>(limits_.size()); }
  const JointLimits& limits(int joint) const { return limits_[joint]; }

  // Judges measurements that have been taken this tick: finite, within hard limits, cool, supplied, without
  // faults.
  Verdict CheckMeasurements(std::span<const JointMeasurement> measured) const;

  // Judges how well joints in position mode follow what they were told last.
  Verdict CheckTracking(std::span<const JointMeasurement> measured,
                        std::span<const JointCommand> last_commands) const;

  // Turns `commands` [J] into ones that respect the limits, in this order: a non-finite command becomes the
  // damping action; target positions stay in range; the spring of the soft zone is added; accelerating torque
  // tapers with velocity; torque; rate of torque. So what leaves here is within the limits of torque and of
  // its rate whatever came in. `torque_share` in [0, 1] scales torque limits and gains (the ramp of arming).
  // In position mode the device adds its own torque, which it bounds by max_torque_nm. Returns what was
  // clamped.
  Clamps Apply(std::span<const JointMeasurement> measured, double torque_share,
               std::span<JointCommand> commands);

  // The command of joint `joint` that carries out a safe action; `held_position_rad` is where kHold stays.
  JointCommand SafeCommand(int joint, SafeAction action, double held_position_rad) const;

  // Torques are taken to be zero now: after motors were off.
  void ForgetTorques() { last_torques_nm_.fill(0); }

  // All of its state, for logs that are re-run.
  using State = std::array<double, kMaxJoints>;
  const State& SaveState() const { return last_torques_nm_; }
  void RestoreState(const State& state) { last_torques_nm_ = state; }

 private:
  void ApplyToJoint(const JointMeasurement& measured, double torque_share, const JointLimits& limits,
                    double& last_torque_nm, JointCommand& command, Clamps& clamps) const;
  double LimitTorque(const JointMeasurement& measured, double torque_share, const JointLimits& limits,
                     double last_torque_nm, double torque_nm, Clamps& clamps) const;

  const std::vector<JointLimits> limits_;
  const double control_period_s_;
  State last_torques_nm_{};
};

}  // namespace demorl
