#include "common/robot/drivers/moteus/emulated_moteus.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace demorl {
namespace {

using namespace moteus_register;

constexpr double kRadPerRev = 2 * std::numbers::pi;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr uint32_t kAllIds = 0x7f;

// What a device says to a subframe that it refuses.
constexpr uint32_t kUnknownRegister = 1;
constexpr uint32_t kNotWritable = 2;
constexpr uint32_t kBadValue = 3;

bool CanBeCommanded(double mode) {
  return mode == moteus_mode::kStopped || mode == moteus_mode::kPosition ||
         mode == moteus_mode::kZeroVelocity || mode == moteus_mode::kBrake;
}

}  // namespace

double* EmulatedMoteus::CommandRegister(Command& command, uint32_t address) {
  switch (address) {
    case kCommandPosition:
      return &command.position_rev;
    case kCommandVelocity:
      return &command.velocity_rev_s;
    case kCommandTorque:
      return &command.torque_nm;
    case kCommandKpScale:
      return &command.kp_scale;
    case kCommandKdScale:
      return &command.kd_scale;
    case kCommandMaxTorque:
      return &command.max_torque_nm;
    case kCommandStopPosition:
      return &command.stop_position_rev;
    case kCommandTimeout:
      return &command.timeout_s;
    case kCommandVelocityLimit:
      return &command.velocity_limit_rev_s;
    case kCommandAccelerationLimit:
      return &command.acceleration_limit_rev_s2;
    case kCommandIlimitScale:
      return &command.ilimit_scale;
    default:
      return nullptr;
  }
}

// 0, or what the device says against it.
uint32_t EmulatedMoteus::Write(const MoteusValue& value, bool& has_mode) {
  if (value.address == kMode) {
    if (!CanBeCommanded(value.value)) {
      return kBadValue;
    }
    written_ = {.mode = static_cast<int>(value.value)};
    has_mode = true;
    return 0;
  }
  if (double* target = CommandRegister(written_, value.address)) {
    *target = value.value;
    return 0;
  }
  return Read(value.address, value.resolution).has_value() ? kNotWritable : kUnknownRegister;
}

std::optional<double> EmulatedMoteus::Read(uint32_t address, MoteusResolution resolution) const {
  Command command = written_;
  if (const double* value = CommandRegister(command, address)) {
    return *value;
  }
  if (address >= kModel && address <= kSerialNumber + 2 && resolution != MoteusResolution::kInt32) {
    return std::nullopt;
  }
  switch (address) {
    case kMode:
      return mode_;
    case kPosition:
    case kAbsolutePosition:
      return position_rev_;
    case kVelocity:
      return velocity_rev_s_;
    case kTorque:
      return torque_nm_;
    case kQCurrent:
    case kDCurrent:
      return 0;
    case kPower:
      return torque_nm_ * velocity_rev_s_ * kRadPerRev;
    case kMotorTemperature:
    case kBoardTemperature:
      return temperature_c_;
    case kTrajectoryComplete:
      return mode_ == moteus_mode::kPosition && trajectory_.done() ? 1 : 0;
    case kControlPosition:
      return trajectory_.active() ? trajectory_.position_rev() : kNan;
    case kControlVelocity:
      return trajectory_.active() ? trajectory_.velocity_rev_s() : kNan;
    case kHomeState:
      return 1;
    case kVoltage:
      return voltage_v_;
    case kFault:
      return fault_;
    case kModel:
      return options_.model;
    case kFirmware:
      return options_.firmware;
    case kRegisterMap:
      return options_.register_map;
    case kId:
      return options_.id;
    case kSerialNumber:
    case kSerialNumber + 1:
    case kSerialNumber + 2:
      return options_.id;
    default:
      return std::nullopt;
  }
}

bool EmulatedMoteus::Handle(const CanFrame& frame, absl::Duration now, CanFrame& reply) {
  const uint32_t destination = frame.id & 0x7f;
  if (frame.id > 0xffff || (destination != static_cast<uint32_t>(options_.id) && destination != kAllIds)) {
    return false;
  }
  CheckWatchdog(now);
  Prepare(now);
  reply = {.id = static_cast<uint32_t>(options_.id) << 8 | ((frame.id >> 8) & 0x7f)};
  MoteusFrameWriter writer(reply);
  bool has_mode = false;
  std::array<MoteusValue, CanFrame::kMaxSize> answers;
  size_t num_answers = 0;
  MoteusFrameReader reader(frame.payload());
  for (MoteusItem item; reader.Next(item);) {
    const MoteusValue& asked = item.register_value;
    if (item.kind == MoteusSubframe::kWrite) {
      if (const uint32_t error = Write(asked, has_mode); error != 0) {
        writer.AppendError(MoteusSubframe::kWriteError, asked.address, error);
      }
    } else if (item.kind == MoteusSubframe::kRead && num_answers < answers.size()) {
      if (const std::optional<double> value = Read(asked.address, asked.resolution)) {
        answers[num_answers++] = {asked.address, asked.resolution, *value};
      } else {
        writer.AppendError(MoteusSubframe::kReadError, asked.address, kUnknownRegister);
      }
    }
  }
  writer.Append(MoteusSubframe::kReply, {answers.data(), num_answers});
  writer.Pad();
  if (has_mode) {
    Apply(now);
  }
  return (frame.id & 0x8000) != 0;
}

void EmulatedMoteus::Apply(absl::Duration now) {
  if (written_.mode == moteus_mode::kStopped) {
    mode_ = moteus_mode::kStopped;
    fault_ = 0;
    active_ = written_;
    trajectory_.Stop();
    watchdog_end_ = absl::InfiniteDuration();
    return;
  }
  if (mode_ == moteus_mode::kFault || mode_ == moteus_mode::kTimeout) {
    return;  // only a stop leads out
  }
  active_ = written_;
  if (mode_ == moteus_mode::kStopped && options_.preparing_step > absl::ZeroDuration()) {
    mode_ = moteus_mode::kEnabling;
    prepared_ = now + options_.preparing_step;
  } else if (!preparing()) {
    Run(now);
  }
}

bool EmulatedMoteus::preparing() const {
  return mode_ >= moteus_mode::kEnabling && mode_ <= moteus_mode::kCalibrationComplete;
}

void EmulatedMoteus::Prepare(absl::Duration now) {
  while (preparing() && now >= prepared_) {
    prepared_ += options_.preparing_step;
    if (mode_ == moteus_mode::kCalibrationComplete) {
      Run(now);
    } else {
      ++mode_;
    }
  }
}

void EmulatedMoteus::Run(absl::Duration now) {
  watchdog_end_ = absl::InfiniteDuration();
  if (active_.mode == moteus_mode::kPosition) {
    StartPosition(now);
  } else {
    mode_ = active_.mode;
    trajectory_.Stop();
  }
}

void EmulatedMoteus::StartPosition(absl::Duration now) {
  const bool outside =
      position_rev_ < options_.minimum_position_rev || position_rev_ > options_.maximum_position_rev;
  if (mode_ != moteus_mode::kPosition && outside) {
    SetFault(39);
    return;
  }
  const MoteusMotion motion = {.position_rev = active_.position_rev,
                               .velocity_rev_s = active_.velocity_rev_s,
                               .velocity_limit_rev_s = active_.velocity_limit_rev_s,
                               .acceleration_limit_rev_s2 = active_.acceleration_limit_rev_s2,
                               .stop_position_rev = active_.stop_position_rev};
  if (!std::isnan(motion.stop_position_rev) &&
      !(std::isnan(motion.velocity_limit_rev_s) && std::isnan(motion.acceleration_limit_rev_s2))) {
    SetFault(45);
    return;
  }
  mode_ = moteus_mode::kPosition;
  trajectory_.Start(motion, position_rev_, velocity_rev_s_);
  if (!std::isnan(active_.timeout_s)) {
    watchdog_end_ =
        now + (active_.timeout_s == 0 ? options_.default_timeout : absl::Seconds(active_.timeout_s));
  }
}

// Only position mode has one.
void EmulatedMoteus::CheckWatchdog(absl::Duration now) {
  if (mode_ == moteus_mode::kPosition && now > watchdog_end_) {
    mode_ = moteus_mode::kTimeout;
  }
}

void EmulatedMoteus::SetFault(int code) {
  mode_ = moteus_mode::kFault;
  fault_ = code;
  torque_nm_ = 0;
}

void EmulatedMoteus::Restart() {
  mode_ = moteus_mode::kStopped;
  fault_ = 0;
  written_ = active_ = {};
  trajectory_.Stop();
  watchdog_end_ = absl::InfiniteDuration();
  torque_nm_ = 0;
}

// With the scale of the last command, also in mode 11: after a command of pure torque there is none.
double EmulatedMoteus::DampingTorque(double max_torque_nm) const {
  const double torque_nm = -options_.position_kd_nm_s_rev * active_.kd_scale * velocity_rev_s_;
  return std::clamp(torque_nm, -max_torque_nm, max_torque_nm);
}

double EmulatedMoteus::ModeTorque() const {
  const int mode = mode_ == moteus_mode::kTimeout ? options_.timeout_mode : mode_;
  if (mode == moteus_mode::kZeroVelocity) {
    return DampingTorque(options_.timeout_max_torque_nm);
  }
  if (mode == moteus_mode::kBrake) {
    return -options_.brake_damping_nm_s_rad * velocity_rev_s_ * kRadPerRev;
  }
  if (mode != moteus_mode::kPosition) {
    return 0;
  }
  const double max_torque_nm = std::isnan(active_.max_torque_nm)
                                   ? options_.max_torque_nm
                                   : std::min(active_.max_torque_nm, options_.max_torque_nm);
  const double torque_nm =
      options_.position_kp_nm_rev * active_.kp_scale * (trajectory_.position_rev() - position_rev_) +
      options_.position_kd_nm_s_rev * active_.kd_scale * (trajectory_.velocity_rev_s() - velocity_rev_s_) +
      active_.torque_nm;
  return std::isnan(torque_nm) ? 0 : std::clamp(torque_nm, -std::abs(max_torque_nm), std::abs(max_torque_nm));
}

double EmulatedMoteus::Step(absl::Duration now, double position_rad, double velocity_rad_s) {
  const double elapsed_s = std::max(absl::ToDoubleSeconds(now - last_step_), 0.0);
  last_step_ = now;
  position_rev_ = position_rad / kRadPerRev;
  velocity_rev_s_ = velocity_rad_s / kRadPerRev;
  CheckWatchdog(now);
  Prepare(now);
  if (mode_ == moteus_mode::kPosition) {
    trajectory_.Advance(elapsed_s);
  }
  torque_nm_ = ModeTorque();
  return torque_nm_;
}

}  // namespace demorl
