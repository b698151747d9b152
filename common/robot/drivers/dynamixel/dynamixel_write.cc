// What a DYNAMIXEL bus sends in a tick.

#include <algorithm>
#include <cmath>

#include "common/robot/drivers/dynamixel/dynamixel_bus.h"

namespace demorl {
namespace {

constexpr int kWrites = 3;

int ToUnits(double value, double unit, int minimum, int maximum) {
  return static_cast<int>(
      std::lround(std::clamp(value / unit, static_cast<double>(minimum), static_cast<double>(maximum))));
}

}  // namespace

BusResult DynamixelBus::Write(std::span<const JointCommand> commands) {
  std::array<uint8_t, 4 * dxl::kMaxPacketBytes> packets;
  bool complete = true;
  for (Wire& wire : wires_) {
    CheckPause(wire);
  }
  for (int i = 0; i < num_joints(); ++i) {
    Plan(joints_[i], commands[i]);
  }
  for (Wire& wire : wires_) {
    wire.line->GiveUp();
    const size_t size = EncodeCommands(wire, packets);
    if (size > 0 && !wire.line->Send(std::span(packets).first(size))) {
      complete = false;
      continue;
    }
    wire.spoke_at = size > 0 ? clock_->Now() : wire.spoke_at;
    for (const int joint : wire.joints) {
      joints_[joint].torque_writes_left = std::max(joints_[joint].torque_writes_left - 1, 0);
      joints_[joint].current_writes_left = std::max(joints_[joint].current_writes_left - 1, 0);
    }
  }
  return ResultOf(wires_, complete);
}

// A wire that was silent for longer than the watchdog waits has tripped it, whether or not somebody has
// read so yet.
void DynamixelBus::CheckPause(Wire& wire) {
  const absl::Duration allowed = absl::Milliseconds(dxl::kWatchdogUnitMs * watchdog_units_);
  if (watchdog_units_ == 0 || clock_->Now() - wire.spoke_at <= allowed) {
    return;
  }
  for (const int joint : wire.joints) {
    joints_[joint].fault |= joints_[joint].torque_on ? kWatchdog : 0;
  }
}

void DynamixelBus::Plan(Joint& joint, const JointCommand& command) {
  const bool possible =
      command.mode != ActuatorMode::kTorque || options_.control == DynamixelControl::kCurrent;
  joint.fault = (joint.fault & ~kNotPossible) | (possible ? 0 : kNotPossible);
  const bool on = possible && command.mode != ActuatorMode::kFree && joint.model != nullptr &&
                  (options_.control == DynamixelControl::kCurrent ? PlanTorque(joint, command)
                                                                  : PlanPosition(joint, command));
  if (on != joint.torque_on) {
    joint.torque_on = on;
    joint.torque_writes_left = kWrites;
    joint.current_writes_left = kWrites;
  }
  if (!on) {
    joint.fault &= ~kTorqueLost;
    joint.goal_current = 0;
  }
}

// False for what is no number, or would need a measurement that there is not yet.
bool DynamixelBus::PlanTorque(Joint& joint, const JointCommand& command) {
  double torque_nm = command.torque_nm;
  if (command.mode != ActuatorMode::kTorque) {
    const bool damps = command.mode == ActuatorMode::kDamping;
    const double velocity_rad_s = damps ? 0 : command.velocity_rad_s;
    torque_nm =
        command.damping_nm_s_rad * (velocity_rad_s - joint.velocity_rad_s) +
        (damps ? 0
               : command.torque_nm + command.stiffness_nm_rad * (command.position_rad - joint.position_rad));
  }
  if (!std::isfinite(torque_nm) || !(command.max_torque_nm >= 0) ||
      (command.mode != ActuatorMode::kTorque && !joint.measured)) {
    return false;
  }
  torque_nm = std::clamp(torque_nm, -command.max_torque_nm, command.max_torque_nm);
  joint.goal_current = ToUnits(torque_nm, dxl::kCurrentUnitA * joint.model->torque_constant_nm_a,
                               -joint.current_limit, joint.current_limit);
  return true;
}

bool DynamixelBus::PlanPosition(Joint& joint, const JointCommand& command) {
  const bool follows = command.mode == ActuatorMode::kDamping;
  const double position_rad = follows ? joint.position_rad : command.position_rad;
  if (!std::isfinite(position_rad) || !(command.max_torque_nm >= 0) || (follows && !joint.measured)) {
    return false;
  }
  joint.goal_position = ToUnits(position_rad + dxl::kPositionZero * dxl::kPositionUnitRad,
                                dxl::kPositionUnitRad, joint.minimum_position, joint.maximum_position);
  if (options_.control == DynamixelControl::kCurrentBasedPosition) {
    const int bound = ToUnits(command.max_torque_nm, dxl::kCurrentUnitA * joint.model->torque_constant_nm_a,
                              0, joint.current_limit);
    joint.current_writes_left = bound != joint.goal_current ? kWrites : joint.current_writes_left;
    joint.goal_current = bound;
  }
  return true;
}

// Goals come before the torque that makes them count.
size_t DynamixelBus::EncodeCommands(const Wire& wire, std::span<uint8_t> out) const {
  size_t size = 0;
  const auto write = [&](uint16_t address, uint16_t num_bytes, auto is_due, auto value) {
    dxl::SyncWrite packet(address, num_bytes);
    for (const int joint : wire.joints) {
      if (is_due(joints_[joint])) {
        packet.Add(joints_[joint].servo.id, value(joints_[joint]));
      }
    }
    size += packet.Encode(out.subspan(size));
  };
  const bool has_current = options_.control != DynamixelControl::kPosition;
  const bool is_current = options_.control == DynamixelControl::kCurrent;
  write(
      dxl::kGoalCurrent, 2,
      [&](const Joint& j) {
        return has_current && ((is_current && j.torque_on) || j.current_writes_left > 0);
      },
      [](const Joint& j) { return j.goal_current; });
  write(
      dxl::kGoalPosition, 4, [&](const Joint& j) { return !is_current && j.torque_on; },
      [](const Joint& j) { return j.goal_position; });
  write(
      dxl::kTorqueEnable, 1, [](const Joint& j) { return j.torque_writes_left > 0; },
      [](const Joint& j) { return j.torque_on ? 1 : 0; });
  return size;
}

}  // namespace demorl
