#include "services/robot_gateway/core/robot_setup.h"

#include <limits>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

using demorl::config::v1::JointSetup;
using demorl::config::v1::RobotSetup;
using demorl::config::v1::SafetySetup;

constexpr double kNotSet = std::numeric_limits<double>::quiet_NaN();
constexpr double kUnbounded = std::numeric_limits<double>::infinity();

JointLimits LimitsOfJoint(const JointSetup& joint) {
  return {
      .joint_name = joint.name(),
      .minimum_position_rad = joint.has_minimum_position_rad() ? joint.minimum_position_rad() : kNotSet,
      .maximum_position_rad = joint.has_maximum_position_rad() ? joint.maximum_position_rad() : kNotSet,
      .soft_zone_rad = joint.has_soft_zone_rad() ? joint.soft_zone_rad() : kNotSet,
      .soft_zone_stiffness_nm_rad =
          joint.has_soft_zone_stiffness_nm_rad() ? joint.soft_zone_stiffness_nm_rad() : kNotSet,
      .maximum_velocity_rad_s = joint.has_maximum_velocity_rad_s() ? joint.maximum_velocity_rad_s() : kNotSet,
      .velocity_taper_share = joint.velocity_taper_share(),
      .maximum_torque_nm = joint.has_maximum_torque_nm() ? joint.maximum_torque_nm() : kNotSet,
      .maximum_torque_rate_nm_s =
          joint.has_maximum_torque_rate_nm_s() ? joint.maximum_torque_rate_nm_s() : kNotSet,
      .maximum_temperature_c = joint.maximum_temperature_c(),
      .minimum_voltage_v = joint.has_minimum_voltage_v() ? joint.minimum_voltage_v() : 0,
      .maximum_voltage_v = joint.has_maximum_voltage_v() ? joint.maximum_voltage_v() : kUnbounded,
      .maximum_tracking_error_rad =
          joint.has_maximum_tracking_error_rad() ? joint.maximum_tracking_error_rad() : kUnbounded,
      .safe_damping_nm_s_rad = joint.has_safe_damping_nm_s_rad() ? joint.safe_damping_nm_s_rad() : kNotSet,
      .hold_stiffness_nm_rad = joint.has_hold_stiffness_nm_rad() ? joint.hold_stiffness_nm_rad() : kNotSet,
  };
}

SafeAction SafeActionOf(SafetySetup::SafeAction action) {
  switch (action) {
    case SafetySetup::SAFE_ACTION_FREE:
      return SafeAction::kFree;
    case SafetySetup::SAFE_ACTION_HOLD:
      return SafeAction::kHold;
    default:
      return SafeAction::kDamping;
  }
}

ArmingOptions ArmingOptionsOf(const SafetySetup& safety) {
  ArmingOptions options{.ramp = absl::Seconds(safety.arming_ramp_s()),
                        .safe_action_time = absl::Seconds(safety.safe_action_time_s())};
  options.safe_actions.fill(SafeActionOf(safety.on_limit()));
  const auto set = [&](StopReason reason, SafetySetup::SafeAction action) {
    options.safe_actions[static_cast<size_t>(reason)] = SafeActionOf(action);
  };
  set(StopReason::kEmergencyStop, safety.on_emergency_stop());
  set(StopReason::kLeaseLost, safety.on_lease_lost());
  set(StopReason::kPolicyStale, safety.on_policy_stale());
  set(StopReason::kRepliesLost, safety.on_replies_lost());
  set(StopReason::kWatchdogLost, safety.on_replies_lost());
  set(StopReason::kSensorsLost, safety.on_sensors_lost());
  set(StopReason::kDeadlineMissed, safety.on_deadline_missed());
  return options;
}

absl::Status CheckJoint(const RobotSetup& setup, int index) {
  const JointSetup& joint = setup.joints(index);
  const std::string path = absl::StrCat("robot.joints[", index, "]");
  if (joint.name().empty() || !joint.has_actuator_id()) {
    return absl::InvalidArgumentError(absl::StrCat(path, " needs a name and an actuator_id"));
  }
  if (joint.port() >= setup.bus().ports_size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ".port is ", joint.port(), "; robot.bus.ports has ", setup.bus().ports_size()));
  }
  if (joint.direction() != 1 && joint.direction() != -1) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ".direction is ", joint.direction(), ", allowed are 1 and -1"));
  }
  return absl::OkStatus();
}

absl::Status CheckIds(const RobotSetup& setup) {
  std::set<std::pair<int, int>> ids;
  std::set<std::string> names;
  for (const JointSetup& joint : setup.joints()) {
    if (!ids.emplace(joint.port(), joint.actuator_id()).second) {
      return absl::InvalidArgumentError(absl::StrCat("robot.joints: two joints have actuator_id ",
                                                     joint.actuator_id(), " on port ", joint.port()));
    }
    if (!names.insert(joint.name()).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("robot.joints: two joints have the name \"", joint.name(), "\""));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckRobotSetup(const RobotSetup& setup, int num_joints) {
  if (setup.name().empty()) {
    return absl::InvalidArgumentError("robot.name is not set; it names the robot's data and must be its own");
  }
  if (setup.joints_size() != num_joints) {
    return absl::InvalidArgumentError(absl::StrCat("robot.joints has ", setup.joints_size(),
                                                   " entries; this robot has ", num_joints, " joints"));
  }
  if (setup.bus().protocol() == demorl::config::v1::ActuatorBusSetup::PROTOCOL_UNSPECIFIED ||
      setup.bus().ports_size() == 0) {
    return absl::InvalidArgumentError("robot.bus needs a protocol and at least one port");
  }
  for (int i = 0; i < num_joints; ++i) {
    RETURN_IF_ERROR(CheckJoint(setup, i));
  }
  RETURN_IF_ERROR(CheckIds(setup));
  // Missing limits are told before any device is touched.
  const std::vector<ActuatorInfo> unlimited(num_joints);
  return CheckLimits(LimitsOf(setup), unlimited);
}

std::vector<JointLimits> LimitsOf(const RobotSetup& setup) {
  std::vector<JointLimits> limits;
  for (const JointSetup& joint : setup.joints()) {
    limits.push_back(LimitsOfJoint(joint));
  }
  return limits;
}

std::vector<JointCalibration> CalibrationOf(const RobotSetup& setup) {
  std::vector<JointCalibration> calibration;
  for (const JointSetup& joint : setup.joints()) {
    calibration.push_back(
        {.direction = joint.direction(), .gear_ratio = joint.gear_ratio(), .offset_rad = joint.offset_rad()});
  }
  return calibration;
}

std::vector<std::string> JointNames(const RobotSetup& setup) {
  std::vector<std::string> names;
  for (const JointSetup& joint : setup.joints()) {
    names.push_back(joint.name());
  }
  return names;
}

RealtimeOptions RealtimeOptionsOf(const RobotSetup& setup) {
  return {.priority = setup.realtime().priority(),
          .cpus = {setup.realtime().cpus().begin(), setup.realtime().cpus().end()},
          .lock_memory = setup.realtime().lock_memory()};
}

RobotLoopOptions LoopOptionsOf(const RobotSetup& setup, absl::Duration control_period) {
  const SafetySetup& safety = setup.safety();
  return {
      .control_period = control_period,
      .reply_share = safety.reply_share(),
      .max_missed_replies = safety.maximum_missed_replies(),
      .max_missed_ticks = safety.maximum_missed_ticks(),
      .max_imu_age = setup.has_imu() ? absl::Seconds(setup.imu().maximum_age_s()) : absl::InfiniteDuration(),
      .max_policy_age = safety.has_maximum_policy_age_s() ? absl::Seconds(safety.maximum_policy_age_s())
                                                          : absl::InfiniteDuration(),
      .random_actions_allowed = setup.random_actions(),
      .acts_by_mean = setup.acts_by_mean(),
      .max_reset_time = absl::Seconds(safety.maximum_reset_s()),
      .arming = ArmingOptionsOf(safety)};
}

}  // namespace demorl
