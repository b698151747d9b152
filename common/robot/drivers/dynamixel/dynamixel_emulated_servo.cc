#include "common/robot/drivers/dynamixel/dynamixel_emulated_servo.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace demorl::dxl {
namespace {

constexpr int kMaxPwm = 885;
// Hardware errors at which the motor is switched off, as the table has it from the factory.
constexpr uint8_t kFactoryShutdown = kOverheating | kElectricalShock | kOverload;

struct Item {
  uint16_t address;
  uint8_t num_bytes;
};
// What a host may write; below kTorqueEnable only with the torque off.
constexpr Item kWritable[] = {
    {kId, 1},
    {kBaudRate, 1},
    {kReturnDelay, 1},
    {10, 1},
    {kOperatingMode, 1},
    {12, 1},
    {13, 1},
    {20, 4},
    {24, 4},
    {kTemperatureLimit, 1},
    {kMaxVoltageLimit, 2},
    {kMinVoltageLimit, 2},
    {kPwmLimit, 2},
    {kCurrentLimit, 2},
    {kVelocityLimit, 4},
    {kMaxPosition, 4},
    {kMinPosition, 4},
    {kShutdown, 1},
    {kTorqueEnable, 1},
    {65, 1},
    {kStatusReturnLevel, 1},
    {76, 2},
    {78, 2},
    {80, 2},
    {82, 2},
    {84, 2},
    {88, 2},
    {90, 2},
    {kBusWatchdog, 1},
    {kGoalPwm, 2},
    {kGoalCurrent, 2},
    {kGoalVelocity, 4},
    {108, 4},
    {112, 4},
    {kGoalPosition, 4},
};

bool IsGoal(size_t address) { return address >= kGoalPwm && address < kRealtimeTick; }

// The writable item that begins at `address`.
const Item* FindItem(size_t address) {
  const auto found = std::find_if(std::begin(kWritable), std::end(kWritable),
                                  [address](const Item& item) { return item.address == address; });
  return found == std::end(kWritable) ? nullptr : &*found;
}

}  // namespace

EmulatedServo::EmulatedServo(const Model& model, uint8_t id, uint8_t firmware,
                             const ServoBehaviour& behaviour)
    : model_(model), behaviour_(behaviour) {
  Store(model.number, 2, table_, kModelNumber);
  table_[kFirmwareVersion] = firmware;
  table_[kId] = id;
  table_[kBaudRate] = 3;
  table_[kReturnDelay] = 250;
  table_[kOperatingMode] = static_cast<uint8_t>(OperatingMode::kPosition);
  table_[kTemperatureLimit] = 80;
  Store(160, 2, table_, kMaxVoltageLimit);
  Store(95, 2, table_, kMinVoltageLimit);
  Store(kMaxPwm, 2, table_, kPwmLimit);
  Store(model.max_current, 2, table_, kCurrentLimit);
  Store(1023, 4, table_, kVelocityLimit);
  Store(4095, 4, table_, kMaxPosition);
  table_[kShutdown] = kFactoryShutdown;
  Restart(-absl::InfiniteDuration());
}

void EmulatedServo::Restart(absl::Duration now) {
  std::fill(table_.begin() + kTorqueEnable, table_.end(), 0);
  table_[kStatusReturnLevel] = 2;
  Store(kMaxPwm, 2, table_, kGoalPwm);
  Store(model_.max_current, 2, table_, kGoalCurrent);
  registered_.reset();
  restarts_at_ = now + behaviour_.restart_time;
}

int32_t EmulatedServo::Value(uint16_t address, size_t num_bytes) const {
  return num_bytes == 4   ? LoadI32(table_, address)
         : num_bytes == 2 ? LoadI16(table_, address)
                          : table_[address];
}

void EmulatedServo::StoreValue(uint16_t address, size_t num_bytes, double value) {
  const double limit = num_bytes == 4 ? std::numeric_limits<int32_t>::max() : 32'767;
  Store(static_cast<int32_t>(std::lround(std::clamp(value, -limit, limit))), num_bytes, table_, address);
}

uint8_t EmulatedServo::Read(size_t address, size_t num_bytes, std::span<const uint8_t>& data) const {
  if (num_bytes == 0 || address + num_bytes > kTableBytes) {
    return kAccessError;
  }
  data = std::span(table_).subspan(address, num_bytes);
  return kNone;
}

uint8_t EmulatedServo::Check(size_t address, std::span<const uint8_t> data) const {
  if (data.empty()) {
    return kLengthError;
  }
  while (!data.empty()) {
    const Item* item = FindItem(address);
    const bool has_item =
        item != nullptr && (model_.has_current || (address != kGoalCurrent && address != kCurrentLimit));
    if (!has_item || (address < kTorqueEnable && torque_on())) {
      return kAccessError;
    }
    if (data.size() < item->num_bytes) {
      return kLengthError;
    }
    const int32_t value = item->num_bytes == 4   ? LoadI32(data, 0)
                          : item->num_bytes == 2 ? LoadI16(data, 0)
                                                 : data[0];
    if ((IsGoal(address) && tripped()) || !IsInRange(item->address, value)) {
      return kRangeError;
    }
    address += item->num_bytes;
    data = data.subspan(item->num_bytes);
  }
  return kNone;
}

bool EmulatedServo::IsInRange(uint16_t address, int32_t value) const {
  const auto within = [value](int32_t low, int32_t high) { return value >= low && value <= high; };
  switch (address) {
    case kId:
      return within(0, kMaxId);
    case kOperatingMode: {
      const auto mode = static_cast<OperatingMode>(value);
      const bool needs_current =
          mode == OperatingMode::kCurrent || mode == OperatingMode::kCurrentBasedPosition;
      return needs_current ? model_.has_current
                           : mode == OperatingMode::kVelocity || mode == OperatingMode::kPosition ||
                                 mode == OperatingMode::kExtendedPosition || mode == OperatingMode::kPwm;
    }
    case kCurrentLimit:
      return within(0, model_.max_current);
    case kTorqueEnable:
      return within(0, 1);
    case kStatusReturnLevel:
      return within(0, 2);
    case kBusWatchdog:
      return within(0, 127);
    case kGoalPwm:
      return within(-Value(kPwmLimit, 2), Value(kPwmLimit, 2));
    case kGoalCurrent:
      return within(-Value(kCurrentLimit, 2), Value(kCurrentLimit, 2));
    case kGoalVelocity:
      return within(-Value(kVelocityLimit, 4), Value(kVelocityLimit, 4));
    case kGoalPosition:
      return mode() != OperatingMode::kPosition || within(Value(kMinPosition, 4), Value(kMaxPosition, 4));
    default:
      return true;
  }
}

uint8_t EmulatedServo::Write(size_t address, std::span<const uint8_t> data) {
  if (const uint8_t error = Check(address, data); error != kNone) {
    return error;
  }
  const bool was_on = torque_on();
  std::copy(data.begin(), data.end(), table_.begin() + address);
  if ((table_[kHardwareError] & table_[kShutdown]) != 0) {
    table_[kTorqueEnable] = 0;
  }
  if (torque_on() && !was_on) {
    // It starts from where it is.
    std::copy_n(table_.begin() + kPresentPosition, 4, table_.begin() + kGoalPosition);
    if (address <= kGoalPosition && address + data.size() > kGoalPosition) {
      std::copy(data.begin(), data.end(), table_.begin() + address);
    }
  }
  return kNone;
}

uint8_t EmulatedServo::Register(size_t address, std::span<const uint8_t> data) {
  if (const uint8_t error = Check(address, data); error != kNone) {
    return error;
  }
  registered_ = RegisteredWrite{address, {data.begin(), data.end()}};
  table_[kRegisteredInstruction] = 1;
  return kNone;
}

uint8_t EmulatedServo::Act() {
  if (!registered_) {
    return kResultFail;
  }
  const RegisteredWrite write = *std::exchange(registered_, std::nullopt);
  table_[kRegisteredInstruction] = 0;
  return Write(write.address, write.data);
}

void EmulatedServo::WatchBus(absl::Duration now) {
  const int units = table_[kBusWatchdog];
  if (units == 0 || tripped()) {
    return;
  }
  if (!torque_on()) {
    heard_at_ = now;  // it watches only while the torque is on
  } else if (now - heard_at_ > absl::Milliseconds(kWatchdogUnitMs * units)) {
    table_[kBusWatchdog] = kWatchdogTripped;
    Store(0, 2, table_, kGoalPwm);
    Store(0, 2, table_, kGoalCurrent);
    Store(0, 4, table_, kGoalVelocity);
    std::copy_n(table_.begin() + kPresentPosition, 4, table_.begin() + kGoalPosition);
  }
}

double EmulatedServo::Step(absl::Duration now, double position_rad, double velocity_rad_s) {
  WatchBus(now);
  if ((table_[kHardwareError] & table_[kShutdown]) != 0) {
    table_[kTorqueEnable] = 0;
  }
  const double torque_nm = torque_on() ? std::clamp(ControlTorque(position_rad, velocity_rad_s),
                                                    -model_.stall_torque_nm, model_.stall_torque_nm)
                                       : 0;
  StoreValue(kRealtimeTick, 2, static_cast<double>(absl::ToInt64Milliseconds(now) % 32'768));
  StoreValue(kPresentCurrent, 2,
             model_.has_current ? torque_nm / model_.torque_constant_nm_a / kCurrentUnitA
                                : 1000 * torque_nm / model_.stall_torque_nm);
  StoreValue(kPresentVelocity, 4, velocity_rad_s / kVelocityUnitRadS);
  StoreValue(kPresentPosition, 4, position_rad / kPositionUnitRad + kPositionZero);
  StoreValue(kPresentVoltage, 2, 10 * behaviour_.supply_v);
  table_[kPresentTemperature] = static_cast<uint8_t>(behaviour_.temperature_c);
  return torque_nm;
}

double EmulatedServo::ControlTorque(double position_rad, double velocity_rad_s) const {
  const auto to_position = [&](double bound_nm) {
    const double goal_rad = (Value(kGoalPosition, 4) - kPositionZero) * kPositionUnitRad;
    return std::clamp(behaviour_.stiffness_nm_rad * (goal_rad - position_rad) -
                          behaviour_.damping_nm_s_rad * velocity_rad_s,
                      -bound_nm, bound_nm);
  };
  const double goal_current_nm = Value(kGoalCurrent, 2) * kCurrentUnitA * model_.torque_constant_nm_a;
  switch (mode()) {
    case OperatingMode::kCurrent:
      return goal_current_nm;
    case OperatingMode::kVelocity:
      return behaviour_.damping_nm_s_rad * (Value(kGoalVelocity, 4) * kVelocityUnitRadS - velocity_rad_s);
    case OperatingMode::kCurrentBasedPosition:
      // Without a goal current the watchdog would leave the joint limp; it holds with what it may have.
      return to_position(tripped() ? model_.stall_torque_nm : std::abs(goal_current_nm));
    case OperatingMode::kPosition:
    case OperatingMode::kExtendedPosition:
      return to_position(model_.stall_torque_nm);
    case OperatingMode::kPwm:
      return model_.stall_torque_nm * (static_cast<double>(Value(kGoalPwm, 2)) / kMaxPwm -
                                       velocity_rad_s / model_.no_load_velocity_rad_s);
  }
  return 0;
}

}  // namespace demorl::dxl
