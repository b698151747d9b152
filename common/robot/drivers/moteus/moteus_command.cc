#include "common/robot/drivers/moteus/moteus_command.h"

#include <array>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <numbers>
#include <span>

#include "common/base/check.h"

namespace demorl {
namespace {

using namespace moteus_register;

constexpr auto kInt8 = MoteusResolution::kInt8;
constexpr auto kInt16 = MoteusResolution::kInt16;
constexpr auto kFloat = MoteusResolution::kFloat;
constexpr auto kWrite = MoteusSubframe::kWrite;
constexpr double kRadPerRev = 2 * std::numbers::pi;

bool AreFinite(std::initializer_list<double> values) {
  for (const double value : values) {
    if (!std::isfinite(value)) {
      return false;
    }
  }
  return true;
}

// A short list of registers on the stack.
class ValueList {
 public:
  void Add(uint32_t address, MoteusResolution resolution, double value) {
    values_[size_++] = {.address = address, .resolution = resolution, .value = value};
  }
  std::span<const MoteusValue> values() const { return {values_.data(), size_}; }

 private:
  std::array<MoteusValue, 12> values_;
  size_t size_ = 0;
};

void WriteValues(const ValueList& list, CanFrame& frame) {
  frame.size = 0;
  DEMORL_CHECK(MoteusFrameWriter(frame).Append(kWrite, list.values()));
}

// The registers after the gains, the same for torque and position.
void AddLimits(double max_torque_nm, double watchdog_s, ValueList& list) {
  if (std::isfinite(max_torque_nm)) {
    list.Add(kCommandMaxTorque, kFloat, max_torque_nm);
  }
  list.Add(kCommandTimeout, kInt16, watchdog_s);
  list.Add(kCommandIlimitScale, kInt8, 0);
}

bool WriteTorque(double watchdog_s, const JointCommand& command, CanFrame& frame) {
  if (!AreFinite({command.torque_nm}) || !(command.max_torque_nm >= 0)) {
    return false;
  }
  ValueList list;
  list.Add(kMode, kInt8, moteus_mode::kPosition);
  list.Add(kCommandPosition, kInt8, std::numeric_limits<double>::quiet_NaN());
  list.Add(kCommandVelocity, kInt8, 0);
  list.Add(kCommandTorque, kFloat, command.torque_nm);
  list.Add(kCommandKpScale, kInt8, 0);
  list.Add(kCommandKdScale, kInt8, 0);
  AddLimits(command.max_torque_nm, watchdog_s, list);
  WriteValues(list, frame);
  return true;
}

bool WritePosition(const MoteusActuator& actuator, double watchdog_s, const JointCommand& command,
                   CanFrame& frame) {
  if (!AreFinite({command.position_rad, command.velocity_rad_s, command.torque_nm, command.stiffness_nm_rad,
                  command.damping_nm_s_rad}) ||
      !(command.max_torque_nm >= 0)) {
    return false;
  }
  ValueList list;
  list.Add(kMode, kInt8, moteus_mode::kPosition);
  list.Add(kCommandPosition, kFloat, command.position_rad / kRadPerRev);
  list.Add(kCommandVelocity, kFloat, command.velocity_rad_s / kRadPerRev);
  list.Add(kCommandTorque, kFloat, command.torque_nm);
  list.Add(kCommandKpScale, kFloat, command.stiffness_nm_rad * kRadPerRev / actuator.position_kp_nm_rev);
  list.Add(kCommandKdScale, kFloat, command.damping_nm_s_rad * kRadPerRev / actuator.position_kd_nm_s_rev);
  AddLimits(command.max_torque_nm, watchdog_s, list);
  WriteValues(list, frame);
  return true;
}

bool WriteDamping(const MoteusActuator& actuator, const JointCommand& command, CanFrame& frame) {
  if (!AreFinite({command.damping_nm_s_rad})) {
    return false;
  }
  ValueList list;
  list.Add(kMode, kInt8, moteus_mode::kZeroVelocity);
  list.Add(kCommandKdScale, kFloat, command.damping_nm_s_rad * kRadPerRev / actuator.position_kd_nm_s_rev);
  WriteValues(list, frame);
  return true;
}

}  // namespace

void WriteMoteusStop(CanFrame& frame) {
  ValueList list;
  list.Add(kMode, kInt8, moteus_mode::kStopped);
  WriteValues(list, frame);
}

bool WriteMoteusCommand(const MoteusActuator& actuator, double watchdog_s, const JointCommand& command,
                        CanFrame& frame) {
  switch (command.mode) {
    case ActuatorMode::kFree:
      WriteMoteusStop(frame);
      return true;
    case ActuatorMode::kDamping:
      return WriteDamping(actuator, command, frame);
    case ActuatorMode::kTorque:
      return WriteTorque(watchdog_s, command, frame);
    case ActuatorMode::kPosition:
      return WritePosition(actuator, watchdog_s, command, frame);
  }
  return false;
}

void AppendMoteusQuery(CanFrame& frame) {
  static constexpr std::array<MoteusValue, 7> kQuery = {{{kMode, kInt8},
                                                         {kPosition, kFloat},
                                                         {kVelocity, kFloat},
                                                         {kTorque, kFloat},
                                                         {kVoltage, kInt8},
                                                         {kBoardTemperature, kInt8},
                                                         {kFault, kInt8}}};
  DEMORL_CHECK(MoteusFrameWriter(frame).Append(MoteusSubframe::kRead, kQuery));
}

}  // namespace demorl
