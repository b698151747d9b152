#include "common/robot/drivers/b3m/b3m_emulated_servo.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/robot/drivers/b3m/b3m_codec.h"

namespace demorl::b3m {
namespace {

constexpr double kMaxTorqueNm = 7.6;
constexpr uint32_t kFactoryKp = 14'000;
constexpr uint32_t kFactoryKd = 350;
// Of the motor's own status, what switches it off.
constexpr uint8_t kMotorOff = kMotorOverTemperature | kLockDetected | kHallSensor;

struct Range {
  uint8_t begin;
  uint8_t end;
};
// What a host may write.
constexpr Range kWritable[] = {
    {kId, kOption + 1},
    {kMode, kPresentPosition},
    {kTargetVelocity, kTargetVelocity + 2},
    {kTargetTime, kTargetTime + 2},
    {kTargetTorque, kTargetTorque + 2},
    {kPwmDuty, kPwmDuty + 4},
    {kEncoderCount, kEncoderCount + 4},
    {kGainPreset, kGainPreset + 1},
    {kKp0, kKp0 + 0x30},
};

bool IsWritable(size_t begin, size_t end) {
  return begin < end && std::any_of(std::begin(kWritable), std::end(kWritable), [&](const Range& range) {
           return begin >= range.begin && end <= range.end;
         });
}

}  // namespace

EmulatedServo::EmulatedServo(uint8_t id, int baud_rate, const ServoBehaviour& behaviour)
    : behaviour_(behaviour), motor_temperature_c_(behaviour.ambient_c) {
  memory_[kId] = id;
  StoreU32(kBaudRate, static_cast<uint32_t>(baud_rate));
  StoreI16(kMinimumPosition, -18'000);
  StoreI16(kMaximumPosition, 18'000);
  StoreI16(kMcuTemperatureLimit, 8'000);
  StoreI16(kMotorTemperatureLimit, 10'000);
  StoreI16(kCurrentLimit, 5'400);
  StoreI16(kMinimumVoltage, 6'000);
  StoreI16(kMaximumVoltage, 15'000);
  memory_[kPwmLimit] = 100;
  memory_[kMode] = static_cast<uint8_t>(RunMode::kFree);
  memory_[kTrajectory] = static_cast<uint8_t>(Trajectory::kEven);
  StoreU32(kKp0, kFactoryKp);
  StoreU32(kKd0, kFactoryKd);
  // Differs: the codes of the real servos are not published; these are the emulator's own.
  constexpr std::array<uint8_t, 12> kWhatItIs = {'H', 1, 117, 0, 0, 0, 'C', 'A', 1, 0, 2, 1};
  std::copy(kWhatItIs.begin(), kWhatItIs.end(), memory_.begin() + kModelNumber);
  Save();
}

int16_t EmulatedServo::LoadI16(uint8_t address) const { return b3m::LoadI16(memory_, address); }

uint32_t EmulatedServo::LoadU32(uint8_t address) const {
  return static_cast<uint32_t>(b3m::LoadU16(memory_, address)) |
         static_cast<uint32_t>(b3m::LoadU16(memory_, address + 2)) << 16;
}

void EmulatedServo::StoreI16(uint8_t address, double value) {
  constexpr double kMin = std::numeric_limits<int16_t>::min(), kMax = std::numeric_limits<int16_t>::max();
  b3m::StoreI16(static_cast<int16_t>(std::lround(std::clamp(value, kMin, kMax))), memory_, address);
}

void EmulatedServo::StoreU32(uint8_t address, uint32_t value) {
  b3m::StoreI16(static_cast<int16_t>(value), memory_, address);
  b3m::StoreI16(static_cast<int16_t>(value >> 16), memory_, address + 2);
}

std::span<const uint8_t> EmulatedServo::Read(uint8_t address, size_t num_bytes) {
  if (num_bytes == 0 || address + num_bytes > kMemoryBytes) {
    AddStatus(kCommandStatus, kWrongAddress);
    return {};
  }
  return std::span(memory_).subspan(address, num_bytes);
}

bool EmulatedServo::Write(uint8_t address, std::span<const uint8_t> data) {
  if (!IsWritable(address, address + data.size())) {
    AddStatus(kCommandStatus, kWrongAddress);
    return false;
  }
  std::copy(data.begin(), data.end(), memory_.begin() + address);
  if (address <= kTargetPosition && address + data.size() > kTargetPosition) {
    Move(LoadI16(kTargetPosition), static_cast<uint16_t>(LoadI16(kTargetTime)));
  }
  return true;
}

void EmulatedServo::Load() { std::copy_n(saved_.begin(), kOption, memory_.begin()); }

void EmulatedServo::Restart(absl::Duration now) {
  memory_ = saved_;
  restarts_at_ = now + behaviour_.restart_time;
}

void EmulatedServo::Move(int16_t centidegrees, uint16_t time_ms) {
  StoreI16(kTargetPosition, centidegrees);
  move_from_rad_ = position_rad_;
  move_begin_ = now_;
  move_duration_ = memory_[kTrajectory] == 0 ? absl::ZeroDuration() : absl::Milliseconds(time_ms);
}

uint8_t EmulatedServo::TakeStatus(uint8_t option) {
  const uint8_t summary =
      (memory_[kSystemStatus] != 0 ? kSystemError : 0) | (memory_[kMotorStatus] != 0 ? kMotorError : 0) |
      (memory_[kUartStatus] != 0 ? kUartError : 0) | (memory_[kCommandStatus] != 0 ? kCommandError : 0);
  memory_[kErrorStatus] = summary;
  const uint8_t which = std::min<uint8_t>(option & 0x7F, kCommandStatus - kErrorStatus);
  const uint8_t status = memory_[kErrorStatus + which];
  if ((option & 0x80) == 0) {
    memory_[kUartStatus] = memory_[kCommandStatus] = 0;
  }
  return status;
}

double EmulatedServo::Step(absl::Duration now, double position_rad, double velocity_rad_s) {
  double torque_nm = 0;
  const bool off = memory_[kSystemStatus] != 0 || (memory_[kMotorStatus] & kMotorOff) != 0;
  if (answers(now) && !off) {
    const double bound =
        std::min({kMaxTorqueNm, 1e-3 * LoadI16(kCurrentLimit) * behaviour_.torque_constant_nm_a,
                  kMaxTorqueNm * memory_[kPwmLimit] / 100});
    torque_nm = std::clamp(ControlTorque(now, position_rad, velocity_rad_s), -bound, bound);
  }
  Measure(now, position_rad, velocity_rad_s, torque_nm);
  Protect();
  return torque_nm;
}

double EmulatedServo::ControlTorque(absl::Duration now, double position_rad, double velocity_rad_s) {
  switch (static_cast<RunMode>(memory_[kMode] & kRunModeMask)) {
    case RunMode::kHold:
      return -behaviour_.hold_damping_nm_s_rad * velocity_rad_s;
    case RunMode::kNormal:
      break;
    default:
      return 0;
  }
  switch (static_cast<ControlMode>(memory_[kMode] & kControlModeMask)) {
    case ControlMode::kTorque:
      return 1e-3 * LoadI16(kTargetTorque);
    case ControlMode::kVelocity:
      return behaviour_.velocity_gain_nm_s_rad *
             (LoadI16(kTargetVelocity) * kRadPerCentidegree - velocity_rad_s);
    case ControlMode::kPosition: {
      const double target_rad =
          std::clamp(LoadI16(kTargetPosition), LoadI16(kMinimumPosition), LoadI16(kMaximumPosition)) *
          kRadPerCentidegree;
      const double stiffness = behaviour_.stiffness_nm_rad * LoadU32(kKp0) / kFactoryKp;
      const double damping = behaviour_.damping_nm_s_rad * LoadU32(kKd0) / kFactoryKd;
      return stiffness * (PlannedPosition(now, target_rad) - position_rad) - damping * velocity_rad_s;
    }
    case ControlMode::kFeedForward:
      break;  // Differs: not emulated, no torque
  }
  return 0;
}

// Differs: all trajectories are even ones.
double EmulatedServo::PlannedPosition(absl::Duration now, double target_rad) {
  if (now >= move_begin_ + move_duration_) {
    return target_rad;
  }
  const double share = absl::FDivDuration(now - move_begin_, move_duration_);
  return move_from_rad_ + share * (target_rad - move_from_rad_);
}

void EmulatedServo::Measure(absl::Duration now, double position_rad, double velocity_rad_s,
                            double torque_nm) {
  const double step_s = std::clamp(absl::ToDoubleSeconds(now - now_), 0.0, 0.1);
  const double current_a = torque_nm / behaviour_.torque_constant_nm_a;
  now_ = now;
  position_rad_ = position_rad;
  motor_temperature_c_ += step_s * (behaviour_.heating_c_s_a2 * current_a * current_a -
                                    (motor_temperature_c_ - behaviour_.ambient_c) /
                                        absl::ToDoubleSeconds(behaviour_.cooling_time));
  StoreI16(kPresentPosition, position_rad / kRadPerCentidegree);
  StoreI16(kPresentVelocity, velocity_rad_s / kRadPerCentidegree);
  StoreU32(kSystemClock, static_cast<uint32_t>(absl::ToInt64Milliseconds(now)));
  StoreI16(kMcuTemperature, 100 * behaviour_.ambient_c);
  StoreI16(kMotorTemperature, 100 * motor_temperature_c_);
  StoreI16(kCurrent, 1000 * current_a);
  StoreI16(kVoltage, 1000 * (behaviour_.supply_v - behaviour_.supply_resistance_ohm * std::abs(current_a)));
}

void EmulatedServo::Protect() {
  if (LoadI16(kMotorTemperature) > LoadI16(kMotorTemperatureLimit)) {
    AddStatus(kMotorStatus, kMotorOverTemperature);
  }
  if (LoadI16(kVoltage) < LoadI16(kMinimumVoltage) || LoadI16(kVoltage) > LoadI16(kMaximumVoltage)) {
    AddStatus(kSystemStatus, kInputVoltage);
  }
}

}  // namespace demorl::b3m
