// What a B3M bus does before and after the loop: blocking, with attempts, one servo after the other.

#include <cmath>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "common/base/status_macros.h"
#include "common/robot/drivers/b3m/b3m_bus.h"

namespace demorl {
namespace {

constexpr int kAttempts = 3;
// How long a servo may take to come back from a reset.
constexpr absl::Duration kRestartTime = absl::Seconds(1);

absl::Status CheckOptions(const B3mOptions& options, size_t num_wires) {
  RETURN_IF_ERROR(CheckServoAddresses(options.servos, num_wires, b3m::kBroadcastId - 1));
  // 83 servos fit into one write of two bytes each; the target torque is an i16 in mN m.
  if (options.servos.empty() || options.servos.size() > 83) {
    return absl::InvalidArgumentError(absl::StrCat(options.servos.size(), " servos; want 1..83"));
  }
  if (!(options.baud_rate > 0) || !(options.torque_constant_nm_a > 0) ||
      !(options.max_torque_nm > 0 && options.max_torque_nm <= 32)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("baud rate %d, torque constant %g N m/A, torque limit %g N m; want all > 0 and the "
                        "limit <= 32",
                        options.baud_rate, options.torque_constant_nm_a, options.max_torque_nm));
  }
  return absl::OkStatus();
}

std::string Hex(std::span<const uint8_t> bytes) {
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

// Memory that is all zeros or all ones is not a B3M's.
bool IsBlank(std::span<const uint8_t> bytes) {
  for (const uint8_t byte : bytes) {
    if (byte != bytes[0]) {
      return false;
    }
  }
  return bytes[0] == 0x00 || bytes[0] == 0xFF;
}

std::vector<absl::string_view> Names(uint32_t bits, std::initializer_list<const char*> names) {
  std::vector<absl::string_view> set;
  for (const char* name : names) {
    if ((bits & 1) != 0) {
      set.push_back(name);
    }
    bits >>= 1;
  }
  return set;
}

}  // namespace

absl::StatusOr<std::unique_ptr<B3mBus>> B3mBus::Create(const B3mOptions& options,
                                                       std::vector<std::unique_ptr<ByteStream>> wires,
                                                       const Clock* clock) {
  RETURN_IF_ERROR(CheckOptions(options, wires.size()));
  return std::unique_ptr<B3mBus>(new B3mBus(options, std::move(wires), clock));
}

absl::StatusOr<std::vector<uint8_t>> B3mBus::Ask(int joint, b3m::Command command, size_t reply_data_bytes,
                                                 std::span<const uint8_t> packet, const char* what) {
  const ServoAddress& servo = joints_[joint].servo;
  b3m::Line& line = *wires_[servo.wire].line;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const absl::Duration deadline = clock_->Now() +
                                    line.WireTime(packet.size() + b3m::kMinPacketBytes + reply_data_bytes) +
                                    options_.setup_timeout;
    b3m::Packet reply;
    line.Ask({servo.id, command, reply_data_bytes, deadline}, packet);
    while (line.waiting()) {
      if (line.Poll(deadline, reply) == b3m::Line::Event::kReply) {
        return std::vector<uint8_t>(reply.data().begin(), reply.data().end());
      }
    }
    if (!line.state().ok()) {
      return absl::UnavailableError(
          absl::StrFormat("%s: %s: the port is closed or unplugged", Name(joint), what));
    }
  }
  return absl::NotFoundError(absl::StrFormat(
      "%s: %s: no reply to %d requests of %s each; check its power, its cable, its id and that it runs at %d "
      "bit/s",
      Name(joint), what, kAttempts, absl::FormatDuration(options_.setup_timeout), options_.baud_rate));
}

absl::StatusOr<std::vector<uint8_t>> B3mBus::ReadMemory(int joint, uint8_t address, uint8_t num_bytes,
                                                        const char* what) {
  std::array<uint8_t, 16> packet;
  const size_t size = b3m::EncodeRead(joints_[joint].servo.id, address, num_bytes, packet);
  return Ask(joint, b3m::Command::kRead, num_bytes, std::span(packet).first(size), what);
}

absl::Status B3mBus::WriteMemory(int joint, uint8_t address, std::span<const uint8_t> data,
                                 const char* what) {
  std::array<uint8_t, b3m::kMaxPacketBytes> packet;
  const size_t size = b3m::EncodeWrite(joints_[joint].servo.id, address, data, packet);
  RETURN_IF_ERROR(Ask(joint, b3m::Command::kWrite, 0, std::span(packet).first(size), what).status());
  ASSIGN_OR_RETURN(const std::vector<uint8_t> kept,
                   ReadMemory(joint, address, static_cast<uint8_t>(data.size()), what));
  if (!std::equal(kept.begin(), kept.end(), data.begin())) {
    return absl::FailedPreconditionError(absl::StrFormat("%s: %s: wrote %s at 0x%02X, it keeps %s",
                                                         Name(joint), what, Hex(data), address, Hex(kept)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ActuatorInfo>> B3mBus::Identify() {
  std::vector<ActuatorInfo> infos;
  for (int joint = 0; joint < num_joints(); ++joint) {
    ASSIGN_OR_RETURN(ActuatorInfo info, IdentifyJoint(joint));
    infos.push_back(std::move(info));
  }
  return infos;
}

absl::StatusOr<ActuatorInfo> B3mBus::IdentifyJoint(int joint) {
  ASSIGN_OR_RETURN(const std::vector<uint8_t> what_it_is,
                   ReadMemory(joint, b3m::kModelNumber, b3m::kFirmware + 4 - b3m::kModelNumber, "its model"));
  ASSIGN_OR_RETURN(const std::vector<uint8_t> system,
                   ReadMemory(joint, b3m::kId, b3m::kDeadBand + 2, "its limits"));
  const std::span<const uint8_t> code = std::span(what_it_is).first<8>();
  const std::span<const uint8_t> firmware = std::span(what_it_is).last<4>();
  const int minimum = b3m::LoadI16(system, b3m::kMinimumPosition);
  const int maximum = b3m::LoadI16(system, b3m::kMaximumPosition);
  const int current_ma = b3m::LoadU16(system, b3m::kCurrentLimit);
  if (IsBlank(what_it_is) || minimum >= maximum || current_ma == 0) {
    return absl::FailedPreconditionError(
        absl::StrFormat("%s: model and firmware %s, positions %d..%d x 0.01 deg, current limit %d mA; want a "
                        "Kondo B3M with a "
                        "model code, positions from low to high and a current limit above 0",
                        Name(joint), Hex(what_it_is), minimum, maximum, current_ma));
  }
  if (options_.model_code && !std::equal(code.begin(), code.end(), options_.model_code->begin())) {
    return absl::FailedPreconditionError(absl::StrFormat("%s: its model code is %s; want %s", Name(joint),
                                                         Hex(code), Hex(*options_.model_code)));
  }
  ActuatorInfo info;
  info.id = joints_[joint].servo.id;
  info.model = absl::StrCat("Kondo B3M ", Hex(code));
  info.firmware =
      absl::StrFormat("%d.%d.%d.%d", firmware[3], firmware[2], firmware[1], firmware[0]);  // build last
  info.max_torque_nm = std::min(1e-3 * current_ma * options_.torque_constant_nm_a, options_.max_torque_nm);
  info.minimum_position_rad = minimum * b3m::kRadPerCentidegree;
  info.maximum_position_rad = maximum * b3m::kRadPerCentidegree;
  return info;  // of its speed it does not tell
}

absl::Status B3mBus::Configure(absl::Duration) {
  for (int joint = 0; joint < num_joints(); ++joint) {
    RETURN_IF_ERROR(ConfigureJoint(joint));
  }
  return absl::OkStatus();
}

absl::Status B3mBus::ConfigureJoint(int joint) {
  constexpr std::array<uint8_t, 2> kFreeWithoutTrajectory = {static_cast<uint8_t>(b3m::RunMode::kFree),
                                                             static_cast<uint8_t>(b3m::Trajectory::kNone)};
  RETURN_IF_ERROR(WriteMemory(joint, b3m::kMode, kFreeWithoutTrajectory, "free mode without trajectory"));
  joints_[joint].mode = kFreeWithoutTrajectory[0];
  joints_[joint].mode_writes_left = 0;
  joints_[joint].fault = 0;
  if (options_.position_gains) {
    std::array<uint8_t, 12> gains;
    const std::array<uint32_t, 3> values = {options_.position_gains->kp, options_.position_gains->kd,
                                            options_.position_gains->ki};
    for (size_t i = 0; i < gains.size(); ++i) {
      gains[i] = static_cast<uint8_t>(values[i / 4] >> 8 * (i % 4));
    }
    RETURN_IF_ERROR(WriteMemory(joint, b3m::kKp0, gains, "its position gains"));
  }
  return absl::OkStatus();
}

// Every servo, named or not: first by broadcast at once, then each until it says so.
absl::Status B3mBus::FreeAll() {
  std::array<uint8_t, b3m::kFreeAllBytes> packet;
  b3m::EncodeFreeAll(packet);
  for (Wire& wire : wires_) {
    wire.line->Send(packet);
  }
  for (int joint = 0; joint < num_joints(); ++joint) {
    constexpr uint8_t kFree = static_cast<uint8_t>(b3m::RunMode::kFree);
    RETURN_IF_ERROR(WriteMemory(joint, b3m::kMode, std::span(&kFree, 1), "free mode"));
    joints_[joint].mode = kFree;
    joints_[joint].mode_writes_left = 0;
  }
  return absl::OkStatus();
}

absl::Status B3mBus::ClearFaults() {
  RETURN_IF_ERROR(FreeAll());
  for (int joint = 0; joint < num_joints(); ++joint) {
    ASSIGN_OR_RETURN(const std::vector<uint8_t> status,
                     ReadMemory(joint, b3m::kSystemStatus, 2, "its status"));
    if (status[0] != 0 || status[1] != 0) {
      RETURN_IF_ERROR(Restart(joint));
    }
    joints_[joint].fault = 0;
  }
  return absl::OkStatus();
}

absl::Status B3mBus::Restart(int joint) {
  std::array<uint8_t, 8> packet;
  const size_t size = b3m::EncodeReset(joints_[joint].servo.id, 0, packet);
  if (!wires_[joints_[joint].servo.wire].line->Send(std::span(packet).first(size))) {
    return absl::UnavailableError(
        absl::StrCat(Name(joint), ": the port takes nothing or is closed or unplugged"));
  }
  const absl::Duration deadline = clock_->Now() + kRestartTime;
  absl::Status configured;
  do {
    configured = ConfigureJoint(joint);  // what was not saved is gone
  } while (absl::IsNotFound(configured) && clock_->Now() < deadline);
  return configured;
}

std::string B3mBus::DescribeFault(uint32_t fault) const {
  std::vector<absl::string_view> words =
      Names(fault >> 8, {"restarted by its own watchdog", "flash", "memory", "supply voltage",
                         "electronics too hot", "A/D converter", "I2C", "SPI"});
  for (const absl::string_view word :
       Names(fault >> 16, {"motor too hot", "motor locked", "current limited", "Hall sensor"})) {
    words.push_back(word);
  }
  if ((fault & b3m::kSystemError) != 0 && (fault >> 8 & 0xFF) == 0) {
    words.push_back("system error");
  }
  if ((fault & b3m::kMotorError) != 0 && (fault >> 16 & 0xFF) == 0) {
    words.push_back("motor error");
  }
  if ((fault & kModeLost) != 0) {
    words.push_back("left its mode by itself");
  }
  return words.empty() ? "none" : absl::StrJoin(words, ", ");
}

}  // namespace demorl
