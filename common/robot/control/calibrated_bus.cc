#include "common/robot/control/calibrated_bus.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

JointMeasurement ToJoint(JointMeasurement actuator, const JointCalibration& calibration) {
  const double scale = calibration.direction / calibration.gear_ratio;
  actuator.position_rad = scale * actuator.position_rad - calibration.offset_rad;
  actuator.velocity_rad_s *= scale;
  actuator.torque_nm /= scale;
  return actuator;
}

JointCommand ToActuator(JointCommand joint, const JointCalibration& calibration) {
  const double scale = calibration.direction * calibration.gear_ratio;
  const double gear_squared = calibration.gear_ratio * calibration.gear_ratio;
  joint.position_rad = scale * (joint.position_rad + calibration.offset_rad);
  joint.velocity_rad_s *= scale;
  joint.torque_nm /= scale;
  joint.stiffness_nm_rad /= gear_squared;
  joint.damping_nm_s_rad /= gear_squared;
  joint.max_torque_nm /= calibration.gear_ratio;
  return joint;
}

ActuatorInfo ToJoint(ActuatorInfo actuator, const JointCalibration& calibration) {
  const double scale = calibration.direction / calibration.gear_ratio;
  actuator.max_torque_nm *= calibration.gear_ratio;
  actuator.max_velocity_rad_s /= calibration.gear_ratio;
  const double first = scale * actuator.minimum_position_rad - calibration.offset_rad;
  const double second = scale * actuator.maximum_position_rad - calibration.offset_rad;
  actuator.minimum_position_rad = calibration.direction > 0 ? first : second;
  actuator.maximum_position_rad = calibration.direction > 0 ? second : first;
  return actuator;
}

}  // namespace

absl::StatusOr<std::unique_ptr<CalibratedBus>> CalibratedBus::Create(
    std::unique_ptr<ActuatorBus> bus, std::vector<JointCalibration> calibration) {
  if (static_cast<int>(calibration.size()) != bus->num_joints()) {
    return absl::InvalidArgumentError(
        absl::StrCat("calibration of ", calibration.size(), " joints; the bus has ", bus->num_joints()));
  }
  for (size_t i = 0; i < calibration.size(); ++i) {
    const JointCalibration& joint = calibration[i];
    if (std::abs(joint.direction) != 1 || !(joint.gear_ratio > 0) || !std::isfinite(joint.gear_ratio) ||
        !std::isfinite(joint.offset_rad)) {
      return absl::InvalidArgumentError(absl::StrCat("joint ", i, ": direction ", joint.direction,
                                                     ", gear_ratio ", joint.gear_ratio, ", offset_rad ",
                                                     joint.offset_rad, "; want 1 or -1, > 0 and finite"));
    }
  }
  return absl::WrapUnique(new CalibratedBus(std::move(bus), std::move(calibration)));
}

CalibratedBus::CalibratedBus(std::unique_ptr<ActuatorBus> bus, std::vector<JointCalibration> calibration)
    : bus_(std::move(bus)),
      calibration_(std::move(calibration)),
      measurements_(calibration_.size()),
      commands_(calibration_.size()) {}

absl::StatusOr<std::vector<ActuatorInfo>> CalibratedBus::Identify() {
  ASSIGN_OR_RETURN(std::vector<ActuatorInfo> devices, bus_->Identify());
  for (size_t i = 0; i < devices.size(); ++i) {
    devices[i] = ToJoint(devices[i], calibration_[i]);
  }
  return devices;
}

BusResult CalibratedBus::Read(absl::Duration deadline, std::span<JointMeasurement> measurements) {
  const BusResult result = bus_->Read(deadline, measurements_);
  for (size_t i = 0; i < measurements_.size(); ++i) {
    measurements[i] = ToJoint(measurements_[i], calibration_[i]);
  }
  return result;
}

BusResult CalibratedBus::Write(std::span<const JointCommand> commands) {
  for (size_t i = 0; i < commands_.size(); ++i) {
    commands_[i] = ToActuator(commands[i], calibration_[i]);
  }
  return bus_->Write(commands_);
}

}  // namespace demorl
