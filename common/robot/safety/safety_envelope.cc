#include "common/robot/safety/safety_envelope.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

constexpr double kUnbounded = std::numeric_limits<double>::infinity();

bool IsFinite(const JointCommand& command) {
  return std::isfinite(command.position_rad) && std::isfinite(command.velocity_rad_s) &&
         std::isfinite(command.torque_nm) && std::isfinite(command.stiffness_nm_rad) &&
         std::isfinite(command.damping_nm_s_rad) && !std::isnan(command.max_torque_nm);
}

void Count(Clamp clamp, SafetyEnvelope::Clamps& clamps) { ++clamps[static_cast<size_t>(clamp)]; }

// Clamps `value` and counts if that changed it.
double ClampTo(double value, double low, double high, Clamp reason, SafetyEnvelope::Clamps& clamps) {
  const double clamped = std::clamp(value, low, high);
  if (clamped != value) {
    Count(reason, clamps);
  }
  return clamped;
}

// Torque of the springs before the position limits; 0 between the soft zones.
double SoftZoneTorque(const JointLimits& limits, double position_rad) {
  const double low = limits.minimum_position_rad + limits.soft_zone_rad;
  const double high = limits.maximum_position_rad - limits.soft_zone_rad;
  return -limits.soft_zone_stiffness_nm_rad * (position_rad - std::clamp(position_rad, low, high));
}

// Largest torque in the direction of motion; without bound below the taper.
double TaperedTorque(const JointLimits& limits, double velocity_rad_s) {
  const double start = limits.velocity_taper_share * limits.maximum_velocity_rad_s;
  const double speed = std::abs(velocity_rad_s);
  if (speed <= start) {
    return kUnbounded;
  }
  const double share = (limits.maximum_velocity_rad_s - speed) / (limits.maximum_velocity_rad_s - start);
  return limits.maximum_torque_nm * std::max(share, 0.0);
}

absl::Status CheckPositive(const JointLimits& limits, absl::string_view name, double value) {
  if (std::isfinite(value) && value > 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "joint ", limits.joint_name, ": ", name, std::isnan(value) ? " is not set" : absl::StrCat(" = ", value),
      "; every joint needs one, > 0"));
}

absl::Status CheckJoint(const JointLimits& limits) {
  RETURN_IF_ERROR(CheckPositive(limits, "maximum_velocity_rad_s", limits.maximum_velocity_rad_s));
  RETURN_IF_ERROR(CheckPositive(limits, "maximum_torque_nm", limits.maximum_torque_nm));
  RETURN_IF_ERROR(CheckPositive(limits, "maximum_torque_rate_nm_s", limits.maximum_torque_rate_nm_s));
  RETURN_IF_ERROR(CheckPositive(limits, "soft_zone_rad", limits.soft_zone_rad));
  RETURN_IF_ERROR(CheckPositive(limits, "soft_zone_stiffness_nm_rad", limits.soft_zone_stiffness_nm_rad));
  RETURN_IF_ERROR(CheckPositive(limits, "safe_damping_nm_s_rad", limits.safe_damping_nm_s_rad));
  RETURN_IF_ERROR(CheckPositive(limits, "hold_stiffness_nm_rad", limits.hold_stiffness_nm_rad));
  RETURN_IF_ERROR(CheckPositive(limits, "maximum_temperature_c", limits.maximum_temperature_c));
  const double range = limits.maximum_position_rad - limits.minimum_position_rad;
  if (!(range > 2 * limits.soft_zone_rad) || !std::isfinite(range)) {
    return absl::InvalidArgumentError(
        absl::StrCat("joint ", limits.joint_name, ": positions ", limits.minimum_position_rad, " to ",
                     limits.maximum_position_rad, " rad; want a finite range wider than two soft zones of ",
                     limits.soft_zone_rad, " rad"));
  }
  if (!(limits.velocity_taper_share > 0 && limits.velocity_taper_share < 1)) {
    return absl::InvalidArgumentError(absl::StrCat("joint ", limits.joint_name, ": velocity_taper_share = ",
                                                   limits.velocity_taper_share, "; want between 0 and 1"));
  }
  if (!(limits.minimum_voltage_v < limits.maximum_voltage_v)) {
    return absl::InvalidArgumentError(absl::StrCat("joint ", limits.joint_name, ": voltages ",
                                                   limits.minimum_voltage_v, " to ", limits.maximum_voltage_v,
                                                   " V are no range"));
  }
  return absl::OkStatus();
}

// `beyond`: by how much the limit passes the device's own; NaN where the device does not tell.
absl::Status CheckWithin(const JointLimits& limits, const ActuatorInfo& device, absl::string_view name,
                         double value, double allowed, double beyond) {
  if (!(beyond > 0)) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat("joint ", limits.joint_name, ": ", name, " = ", value,
                                                    " exceeds what its actuator allows (id ", device.id, ", ",
                                                    device.model, "): ", allowed));
}

absl::Status CheckDevice(const JointLimits& limits, const ActuatorInfo& device) {
  RETURN_IF_ERROR(CheckWithin(limits, device, "maximum_torque_nm", limits.maximum_torque_nm,
                              device.max_torque_nm, limits.maximum_torque_nm - device.max_torque_nm));
  RETURN_IF_ERROR(CheckWithin(limits, device, "maximum_velocity_rad_s", limits.maximum_velocity_rad_s,
                              device.max_velocity_rad_s,
                              limits.maximum_velocity_rad_s - device.max_velocity_rad_s));
  RETURN_IF_ERROR(CheckWithin(limits, device, "minimum_position_rad", limits.minimum_position_rad,
                              device.minimum_position_rad,
                              device.minimum_position_rad - limits.minimum_position_rad));
  return CheckWithin(limits, device, "maximum_position_rad", limits.maximum_position_rad,
                     device.maximum_position_rad, limits.maximum_position_rad - device.maximum_position_rad);
}

}  // namespace

absl::string_view Name(Clamp clamp) {
  static constexpr std::array<const char*, kNumClamps> kNames = {"non_finite",     "torque",    "torque_rate",
                                                                 "velocity_taper", "soft_zone", "position"};
  return kNames[static_cast<size_t>(clamp)];
}

absl::Status CheckLimits(std::span<const JointLimits> limits, std::span<const ActuatorInfo> devices) {
  if (limits.size() != devices.size() || limits.size() > kMaxJoints) {
    return absl::InvalidArgumentError(absl::StrCat("limits of ", limits.size(), " joints for ",
                                                   devices.size(), " actuators; want one each, at most ",
                                                   kMaxJoints));
  }
  for (size_t i = 0; i < limits.size(); ++i) {
    RETURN_IF_ERROR(CheckJoint(limits[i]));
    RETURN_IF_ERROR(CheckDevice(limits[i], devices[i]));
  }
  return absl::OkStatus();
}

SafetyEnvelope::SafetyEnvelope(std::vector<JointLimits> limits, absl::Duration control_period)
    : limits_(std::move(limits)), control_period_s_(absl::ToDoubleSeconds(control_period)) {
  DEMORL_CHECK(limits_.size() <= kMaxJoints);
}

SafetyEnvelope::Verdict SafetyEnvelope::CheckMeasurements(std::span<const JointMeasurement> measured) const {
  for (int i = 0; i < num_joints(); ++i) {
    const JointLimits& limits = limits_[i];
    const JointMeasurement& joint = measured[i];
    if (!std::isfinite(joint.position_rad) || !std::isfinite(joint.velocity_rad_s)) {
      return {StopReason::kSensorsLost, i};
    }
    if (joint.fault != 0) {
      return {StopReason::kDeviceFault, i};
    }
    if (joint.position_rad < limits.minimum_position_rad ||
        joint.position_rad > limits.maximum_position_rad ||
        std::abs(joint.velocity_rad_s) > limits.maximum_velocity_rad_s) {
      return {StopReason::kLimitExceeded, i};
    }
    // NaN where the device does not tell: no comparison holds.
    if (joint.temperature_c > limits.maximum_temperature_c) {
      return {StopReason::kOverheated, i};
    }
    if (joint.voltage_v < limits.minimum_voltage_v || joint.voltage_v > limits.maximum_voltage_v) {
      return {StopReason::kVoltageOutOfRange, i};
    }
  }
  return {};
}

SafetyEnvelope::Verdict SafetyEnvelope::CheckTracking(std::span<const JointMeasurement> measured,
                                                      std::span<const JointCommand> last_commands) const {
  for (int i = 0; i < num_joints(); ++i) {
    if (last_commands[i].mode == ActuatorMode::kPosition &&
        std::abs(last_commands[i].position_rad - measured[i].position_rad) >
            limits_[i].maximum_tracking_error_rad) {
      return {StopReason::kTrackingError, i};
    }
  }
  return {};
}

JointCommand SafetyEnvelope::SafeCommand(int joint, SafeAction action, double held_position_rad) const {
  const JointLimits& limits = limits_[joint];
  JointCommand command{.max_torque_nm = limits.maximum_torque_nm};
  if (action == SafeAction::kFree) {
    return command;
  }
  command.damping_nm_s_rad = limits.safe_damping_nm_s_rad;
  command.mode = ActuatorMode::kDamping;
  if (action == SafeAction::kHold) {
    command.mode = ActuatorMode::kPosition;
    command.position_rad = held_position_rad;
    command.stiffness_nm_rad = limits.hold_stiffness_nm_rad;
  }
  return command;
}

double SafetyEnvelope::LimitTorque(const JointMeasurement& measured, double torque_share,
                                   const JointLimits& limits, double last_torque_nm, double torque_nm,
                                   Clamps& clamps) const {
  const double spring = SoftZoneTorque(limits, measured.position_rad);
  if (spring != 0) {
    Count(Clamp::kSoftZone, clamps);
    torque_nm += spring;
  }
  const double along = TaperedTorque(limits, measured.velocity_rad_s);
  torque_nm = measured.velocity_rad_s >= 0
                  ? ClampTo(torque_nm, -kUnbounded, along, Clamp::kVelocityTaper, clamps)
                  : ClampTo(torque_nm, -along, kUnbounded, Clamp::kVelocityTaper, clamps);
  const double bound = limits.maximum_torque_nm * torque_share;
  torque_nm = ClampTo(torque_nm, -bound, bound, Clamp::kTorque, clamps);
  const double change = limits.maximum_torque_rate_nm_s * control_period_s_;
  return ClampTo(torque_nm, last_torque_nm - change, last_torque_nm + change, Clamp::kTorqueRate, clamps);
}

void SafetyEnvelope::ApplyToJoint(const JointMeasurement& measured, double torque_share,
                                  const JointLimits& limits, double& last_torque_nm, JointCommand& command,
                                  Clamps& clamps) const {
  if (!IsFinite(command)) {
    Count(Clamp::kNonFinite, clamps);
    command = {.mode = ActuatorMode::kDamping, .damping_nm_s_rad = limits.safe_damping_nm_s_rad};
  }
  command.max_torque_nm = std::clamp(command.max_torque_nm, 0.0, limits.maximum_torque_nm) * torque_share;
  command.stiffness_nm_rad = std::max(command.stiffness_nm_rad, 0.0) * torque_share;
  command.damping_nm_s_rad = std::max(command.damping_nm_s_rad, 0.0) * torque_share;
  if (command.mode == ActuatorMode::kFree || command.mode == ActuatorMode::kDamping) {
    command.torque_nm = 0;
    last_torque_nm = 0;
    return;
  }
  if (command.mode == ActuatorMode::kPosition) {
    command.position_rad = ClampTo(command.position_rad, limits.minimum_position_rad,
                                   limits.maximum_position_rad, Clamp::kPosition, clamps);
    command.velocity_rad_s =
        std::clamp(command.velocity_rad_s, -limits.maximum_velocity_rad_s, limits.maximum_velocity_rad_s);
  }
  command.torque_nm = LimitTorque(measured, torque_share, limits, last_torque_nm, command.torque_nm, clamps);
  last_torque_nm = command.torque_nm;
}

SafetyEnvelope::Clamps SafetyEnvelope::Apply(std::span<const JointMeasurement> measured, double torque_share,
                                             std::span<JointCommand> commands) {
  Clamps clamps{};
  for (int i = 0; i < num_joints(); ++i) {
    ApplyToJoint(measured[i], torque_share, limits_[i], last_torques_nm_[i], commands[i], clamps);
  }
  return clamps;
}

}  // namespace demorl
