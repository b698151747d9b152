#include "common/robot/drivers/b3m/b3m_bus.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace demorl {
namespace {

using b3m::ControlMode;
using b3m::kRadPerCentidegree;
using b3m::RunMode;

constexpr int kModeWrites = 3;
// The velocity up to which its register is believed, a margin below where that ends.
constexpr double kMaxRegisterRadS = 0.9 * std::numeric_limits<int16_t>::max() * kRadPerCentidegree;
// Positions further apart tell no velocity.
constexpr absl::Duration kMaxPositionGap = absl::Milliseconds(50);

// What a tick reads of each servo: from its mode to its voltage.
constexpr uint8_t kBlockStart = b3m::kMode;
constexpr uint8_t kBlockBytes = b3m::kVoltage + 2 - kBlockStart;
constexpr uint8_t kExtraLengths = 4;
constexpr uint8_t kStatusStart = b3m::kErrorStatus;
constexpr uint8_t kStatusBytes = b3m::kCommandStatus + 1 - kStatusStart;

constexpr uint8_t kFreeMode = static_cast<uint8_t>(RunMode::kFree);
constexpr uint8_t kHoldMode = static_cast<uint8_t>(RunMode::kHold);
constexpr uint8_t kTorqueMode = static_cast<uint8_t>(ControlMode::kTorque);
constexpr uint8_t kPositionMode = static_cast<uint8_t>(ControlMode::kPosition);
constexpr uint8_t kModeMask = b3m::kRunModeMask | b3m::kControlModeMask;

bool IsPowered(uint8_t mode) { return mode == kTorqueMode || mode == kPositionMode; }

// A command that is no number frees the joint.
uint8_t ModeOf(const JointCommand& command) {
  switch (command.mode) {
    case ActuatorMode::kDamping:
      return kHoldMode;
    case ActuatorMode::kTorque:
      return std::isfinite(command.torque_nm) ? kTorqueMode : kFreeMode;
    case ActuatorMode::kPosition:
      return std::isfinite(command.position_rad) ? kPositionMode : kFreeMode;
    case ActuatorMode::kFree:
      break;
  }
  return kFreeMode;
}

int16_t ToTicks(double value, double bound) {
  return static_cast<int16_t>(std::lround(std::clamp(value, -bound, bound)));
}

}  // namespace

B3mBus::B3mBus(const B3mOptions& options, std::vector<std::unique_ptr<ByteStream>> wires, const Clock* clock)
    : options_(options), clock_(clock), wires_(wires.size()) {
  for (const ServoAddress& servo : options.servos) {
    wires_[servo.wire].joints.push_back(num_joints());
    joints_.push_back({.servo = servo, .mode = kFreeMode});
  }
  for (size_t i = 0; i < wires_.size(); ++i) {
    Wire& wire = wires_[i];
    wire.stream = std::move(wires[i]);
    std::vector<uint8_t> ids;
    for (const int joint : wire.joints) {
      ids.push_back(joints_[joint].servo.id);
    }
    wire.line = std::make_unique<b3m::Line>(
        wire.stream.get(), clock, b3m::Line::Options{options.baud_rate, options.echo}, std::move(ids));
  }
}

BusResult B3mBus::Read(absl::Duration deadline, std::span<JointMeasurement> measurements) {
  MarkAsOld(measurements);
  for (Wire& wire : wires_) {
    wire.next = 0;
    wire.suspect = -1;
    AskNext(wire, deadline);
  }
  ServeInTurn(wires_, *clock_, deadline, [&](Wire& wire, absl::Duration wait_until) {
    return Serve(wire, wait_until, deadline, measurements);
  });
  return ResultOf(wires_, AllFresh(measurements));
}

// Asks the wire's next servo, or the one with an error for its status bytes; the wire is idle if there is
// none or no time for it.
void B3mBus::AskNext(Wire& wire, absl::Duration deadline) {
  std::array<uint8_t, 16> packet;
  wire.asks_status = wire.next == wire.joints.size();
  wire.busy = false;
  if (wire.asks_status && wire.suspect < 0) {
    return;
  }
  const int joint = wire.asks_status ? wire.suspect : wire.joints[wire.next];
  const uint8_t id = joints_[joint].servo.id;
  const uint8_t num_bytes = wire.asks_status ? kStatusBytes : kBlockBytes + wire.extra_bytes;
  const size_t size = b3m::EncodeRead(id, wire.asks_status ? kStatusStart : kBlockStart, num_bytes, packet);
  const absl::Duration give_up =
      clock_->Now() + wire.line->WireTime(size + b3m::kMinPacketBytes + num_bytes) + options_.reply_timeout;
  wire.busy = wire.line->Ask({id, b3m::Command::kRead, num_bytes, std::min(deadline, give_up)},
                             std::span(packet).first(size));
}

// True if something came of it, so that looking again may be worth it.
bool B3mBus::Serve(Wire& wire, absl::Duration wait_until, absl::Duration deadline,
                   std::span<JointMeasurement> measurements) {
  b3m::Packet reply;
  const b3m::Line::Event event = wire.line->Poll(wait_until, reply);
  if (event == b3m::Line::Event::kNothing) {
    return false;
  }
  if (event == b3m::Line::Event::kMissing) {
    wire.extra_bytes = (wire.extra_bytes + 1) % kExtraLengths;
  } else if (event == b3m::Line::Event::kReply) {
    const int joint = wire.asks_status ? wire.suspect : wire.joints[wire.next];
    if (wire.asks_status) {
      TakeStatus(joint, reply);
    } else {
      TakeBlock(wire, joint, reply, measurements[joint]);
    }
  }
  if (wire.asks_status || event == b3m::Line::Event::kBroken) {
    wire.busy = false;
  } else {
    ++wire.next;
    AskNext(wire, deadline);
  }
  return true;
}

void B3mBus::TakeBlock(Wire& wire, int index, const b3m::Packet& reply, JointMeasurement& measurement) {
  const std::span<const uint8_t> block = reply.data();
  const auto load = [block](uint8_t address) { return b3m::LoadI16(block, address - kBlockStart); };
  measurement.time = clock_->Now();
  measurement.fresh = true;
  measurement.position_rad = load(b3m::kPresentPosition) * kRadPerCentidegree;
  measurement.velocity_rad_s =
      Velocity(joints_[index], load(b3m::kPresentVelocity) * kRadPerCentidegree, measurement);
  measurement.torque_nm = load(b3m::kCurrent) * 1e-3 * options_.torque_constant_nm_a;
  measurement.temperature_c = 0.01 * std::max(load(b3m::kMcuTemperature), load(b3m::kMotorTemperature));
  measurement.voltage_v = 1e-3 * b3m::LoadU16(block, b3m::kVoltage - kBlockStart);

  Joint& joint = joints_[index];
  // Errors of the wire concern a message, not the servo: they are counted, and no fault.
  const uint32_t errors = reply.option & (b3m::kSystemError | b3m::kMotorError);
  const bool unexplained = (joint.fault & 0xFFFF00) == 0;
  if (errors != 0 && (wire.suspect < 0 || unexplained)) {
    wire.suspect = index;
  }
  joint.fault = errors | (errors != 0 ? joint.fault & 0xFFFF00 : 0) | CheckMode(joint, block[0]);
  measurement.fault = joint.fault;
}

// Also remembers the position for the next tick.
double B3mBus::Velocity(Joint& joint, double register_rad_s, const JointMeasurement& measurement) {
  const absl::Duration gap = measurement.time - std::exchange(joint.read_time, measurement.time);
  const double moved_rad =
      measurement.position_rad - std::exchange(joint.position_rad, measurement.position_rad);
  if (gap <= absl::ZeroDuration() || gap > kMaxPositionGap) {
    return register_rad_s;
  }
  const double mean_rad_s = moved_rad / absl::ToDoubleSeconds(gap);
  return std::abs(mean_rad_s) > kMaxRegisterRadS ? mean_rad_s : register_rad_s;
}

// Writes a mode that was lost on the way again, where it takes the motor off; one that a servo has left by
// itself is a fault.
uint32_t B3mBus::CheckMode(Joint& joint, uint8_t mode) {
  if ((mode & kModeMask) == joint.mode || joint.mode_writes_left > 0) {
    return 0;
  }
  if (!IsPowered(joint.mode)) {
    joint.mode_writes_left = 1;
  }
  return kModeLost;
}

void B3mBus::TakeStatus(int joint, const b3m::Packet& reply) {
  const std::span<const uint8_t> status = reply.data();
  const uint32_t system = status[b3m::kSystemStatus - kStatusStart];
  const uint32_t motor = status[b3m::kMotorStatus - kStatusStart];
  joints_[joint].fault = (joints_[joint].fault & 0xFF) | system << 8 | motor << 16;
}

BusResult B3mBus::Write(std::span<const JointCommand> commands) {
  std::array<uint8_t, 4 * b3m::kMaxPacketBytes> packets;
  bool complete = true;
  for (int i = 0; i < num_joints(); ++i) {
    PlanMode(joints_[i], commands[i]);
  }
  for (Wire& wire : wires_) {
    wire.line->GiveUp();
    const size_t size = EncodeCommands(wire, commands, packets);
    if (size > 0 && !wire.line->Send(std::span(packets).first(size))) {
      complete = false;
      continue;
    }
    for (const int joint : wire.joints) {
      joints_[joint].mode_writes_left = std::max(joints_[joint].mode_writes_left - 1, 0);
    }
  }
  return ResultOf(wires_, complete);
}

void B3mBus::PlanMode(Joint& joint, const JointCommand& command) {
  if (const uint8_t mode = ModeOf(command); mode != joint.mode) {
    joint.mode = mode;
    joint.mode_writes_left = kModeWrites;
  }
}

// Targets come before the mode that makes them count. A servo that leaves torque control gets its target
// cleared, so that nothing old waits there.
size_t B3mBus::EncodeCommands(const Wire& wire, std::span<const JointCommand> commands,
                              std::span<uint8_t> out) {
  const double max_mnm = 1000 * options_.max_torque_nm;
  size_t size = 0;
  const auto write = [&](uint8_t address, size_t value_bytes, auto value) {
    b3m::MultiWrite packet(address, value_bytes, out.subspan(size));
    for (const int joint : wire.joints) {
      if (const std::optional<int16_t> ticks = value(joints_[joint], commands[joint])) {
        packet.Add(joints_[joint].servo.id, *ticks);
      }
    }
    size += packet.Finish();
  };
  using Ticks = std::optional<int16_t>;
  write(b3m::kTargetTorque, 2, [&](const Joint& joint, const JointCommand& command) {
    if (joint.mode != kTorqueMode) {
      return joint.mode_writes_left > 0 ? Ticks(0) : std::nullopt;
    }
    const double bound_mnm = std::min(max_mnm, 1000 * std::max(command.max_torque_nm, 0.0));
    return Ticks(ToTicks(1000 * command.torque_nm, bound_mnm));
  });
  write(b3m::kTargetPosition, 2, [](const Joint& joint, const JointCommand& command) {
    const double centidegrees = command.position_rad / kRadPerCentidegree;
    return joint.mode == kPositionMode ? Ticks(ToTicks(centidegrees, b3m::kMaxPositionCentidegrees))
                                       : std::nullopt;
  });
  write(b3m::kGainPreset, 1, [](const Joint& joint, const JointCommand&) {
    const bool torque = joint.mode == kTorqueMode;
    const b3m::GainPreset preset = torque ? b3m::GainPreset::kTorque : b3m::GainPreset::kPosition;
    return joint.mode_writes_left > 0 && IsPowered(joint.mode) ? Ticks(static_cast<int16_t>(preset))
                                                               : std::nullopt;
  });
  write(b3m::kMode, 1, [](const Joint& joint, const JointCommand&) {
    return joint.mode_writes_left > 0 ? Ticks(joint.mode) : std::nullopt;
  });
  return size;
}

}  // namespace demorl
