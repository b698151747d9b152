#include "common/robot/drivers/moteus/moteus_bus.h"

#include <cmath>
#include <cstring>
#include <numbers>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/robot/drivers/bus_state.h"
#include "common/robot/drivers/moteus/moteus_faults.h"

namespace demorl {
namespace {

using namespace moteus_register;

constexpr double kRadPerRev = 2 * std::numbers::pi;
constexpr uint32_t kFirstReplyAddress = 64;
constexpr uint32_t kNumReplyAddresses = 32;
constexpr uint32_t kReplyWanted = 0x8000;
constexpr int kKnownRegisterMap = 5;
constexpr int kNumTries = 3;

bool IsReplyAddress(uint32_t id) {
  return id >= kFirstReplyAddress && id < kFirstReplyAddress + kNumReplyAddresses;
}

absl::Status CheckActuators(const std::vector<MoteusActuator>& actuators) {
  std::array<bool, 128> seen = {};
  for (const MoteusActuator& actuator : actuators) {
    if (actuator.id < 1 || actuator.id > 126 || IsReplyAddress(static_cast<uint32_t>(actuator.id))) {
      return absl::InvalidArgumentError(
          absl::StrCat("moteus id ", actuator.id, "; want 1 to 63 or 96 to 126"));
    }
    if (std::exchange(seen[actuator.id], true)) {
      return absl::InvalidArgumentError(absl::StrCat("moteus id ", actuator.id, " is given to two joints"));
    }
    if (!(actuator.position_kp_nm_rev > 0) || !(actuator.position_kd_nm_s_rev > 0)) {
      return absl::InvalidArgumentError(
          absl::StrCat("moteus id ", actuator.id, ": position_kp_nm_rev = ", actuator.position_kp_nm_rev,
                       ", position_kd_nm_s_rev = ", actuator.position_kd_nm_s_rev, "; want both > 0"));
    }
  }
  return actuators.empty() ? absl::InvalidArgumentError("no moteus ids; want at least one")
                           : absl::OkStatus();
}

CanFrame IdentityQuestion() {
  static constexpr std::array<MoteusValue, 4> kIdentity = {{{kModel, MoteusResolution::kInt32},
                                                            {kFirmware, MoteusResolution::kInt32},
                                                            {kRegisterMap, MoteusResolution::kInt32},
                                                            {kCommandIlimitScale, MoteusResolution::kInt8}}};
  CanFrame frame;
  DEMORL_CHECK(MoteusFrameWriter(frame).Append(MoteusSubframe::kRead, kIdentity));
  return frame;
}

// The value of a register in a reply.
std::optional<double> FindRegister(const CanFrame& frame, uint32_t address) {
  MoteusFrameReader reader(frame.payload());
  for (MoteusItem item; reader.Next(item);) {
    if (item.kind == MoteusSubframe::kReply && item.register_value.address == address) {
      return item.register_value.value;
    }
  }
  return std::nullopt;
}

// Registers of whole numbers come as floats, too, if a device so likes; -1 for what is none.
int64_t WholeNumber(double value) {
  constexpr double kGreatest = 4294967295.0;
  return value >= -kGreatest && value <= kGreatest ? static_cast<int64_t>(value) : -1;
}

// 0x010304 is version 1.3.4 [registers.md, 0x101].
std::string FirmwareName(uint32_t version) {
  return absl::StrFormat("%d.%d.%d", version >> 16 & 0xff, version >> 8 & 0xff, version & 0xff);
}

}  // namespace

absl::StatusOr<std::unique_ptr<MoteusBus>> MoteusBus::Create(const MoteusBusOptions& options,
                                                             std::unique_ptr<CanPort> port) {
  RETURN_IF_ERROR(CheckActuators(options.actuators));
  return std::unique_ptr<MoteusBus>(new MoteusBus(options, std::move(port)));
}

MoteusBus::MoteusBus(const MoteusBusOptions& options, std::unique_ptr<CanPort> port)
    : reply_timeout_(options.reply_timeout), port_(std::move(port)), reply_address_(kFirstReplyAddress) {
  joint_of_id_.fill(-1);
  for (const MoteusActuator& actuator : options.actuators) {
    joint_of_id_[actuator.id] = static_cast<int8_t>(joints_.size());
    joints_.push_back({.actuator = actuator});
  }
}

absl::Status MoteusBus::PortError(const IoResult& result) const {
  if (result.code == IoResult::Code::kTimedOut) {
    return absl::UnavailableError("moteus bus: the way to it is full; want an adapter that takes frames");
  }
  return absl::UnavailableError(
      absl::StrCat("moteus bus: ", result.code == IoResult::Code::kClosed ? "unplugged or closed" : "refused",
                   result.error_number != 0 ? absl::StrCat(" (", strerror(result.error_number), ")") : ""));
}

void MoteusBus::StartRound() {
  reply_address_ = kFirstReplyAddress + (reply_address_ + 1 - kFirstReplyAddress) % kNumReplyAddresses;
}

bool MoteusBus::IsReplyOf(const Joint& joint, const CanFrame& frame) const {
  return frame.id == (static_cast<uint32_t>(joint.actuator.id) << 8 | reply_address_);
}

absl::StatusOr<CanFrame> MoteusBus::Ask(const Joint& joint, const CanFrame& request) {
  CanFrame question = request;
  MoteusFrameWriter(question).Pad();
  CanFrame answer;
  for (int i = 0; i < kNumTries; ++i) {
    StartRound();
    question.id = kReplyWanted | reply_address_ << 8 | static_cast<uint32_t>(joint.actuator.id);
    if (const IoResult sent = port_->Send(question); !sent.ok()) {
      return PortError(sent);
    }
    const absl::Duration deadline = RealClock::Get().Now() + reply_timeout_;
    IoResult received;
    while ((received = port_->Receive(answer, deadline)).ok() && RealClock::Get().Now() < deadline) {
      if (IsReplyOf(joint, answer)) {
        return answer;
      }
    }
    if (!received.ok() && received.code != IoResult::Code::kTimedOut) {
      return PortError(received);
    }
  }
  return absl::NotFoundError(absl::StrCat("moteus id ", joint.actuator.id, ": no answer to ", kNumTries,
                                          " questions; want a powered controller with this id on this bus"));
}

absl::StatusOr<ActuatorInfo> MoteusBus::IdentifyJoint(const Joint& joint) {
  ASSIGN_OR_RETURN(const CanFrame answer, Ask(joint, IdentityQuestion()));
  const std::optional<double> map = FindRegister(answer, kRegisterMap);
  const std::optional<double> firmware = FindRegister(answer, kFirmware);
  const std::string name =
      firmware.has_value() ? FirmwareName(static_cast<uint32_t>(WholeNumber(*firmware))) : "?";
  if (!map.has_value() || *map != kKnownRegisterMap) {
    return absl::FailedPreconditionError(
        absl::StrCat("moteus id ", joint.actuator.id, " with firmware ", name, ": register map ",
                     map.has_value() ? absl::StrCat(*map) : "not told", "; want ", kKnownRegisterMap));
  }
  if (!FindRegister(answer, kCommandIlimitScale).has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat("moteus id ", joint.actuator.id, " with firmware ", name,
                     ": no register 0x02b, without which pure torque is not to be had; want newer firmware"));
  }
  const int64_t model = WholeNumber(FindRegister(answer, kModel).value_or(0));
  return ActuatorInfo{.id = joint.actuator.id,
                      .model = absl::StrFormat("moteus 0x%x", static_cast<uint32_t>(model)),
                      .firmware = name,
                      .has_watchdog = true};
}

absl::StatusOr<std::vector<ActuatorInfo>> MoteusBus::Identify() {
  std::vector<ActuatorInfo> infos;
  for (const Joint& joint : joints_) {
    ASSIGN_OR_RETURN(ActuatorInfo info, IdentifyJoint(joint));
    infos.push_back(std::move(info));
  }
  return infos;
}

absl::StatusOr<MoteusBus::Report> MoteusBus::AskReport(const Joint& joint, const CanFrame& request) {
  CanFrame question = request;
  AppendMoteusQuery(question);
  ASSIGN_OR_RETURN(const CanFrame answer, Ask(joint, question));
  Report report;
  if (!ParseReport(answer, report)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "moteus id ", joint.actuator.id, ": an answer without the registers that were asked for"));
  }
  return report;
}

absl::StatusOr<MoteusBus::Report> MoteusBus::Stop(Joint& joint) {
  CanFrame stop;
  WriteMoteusStop(stop);
  RETURN_IF_ERROR(AskReport(joint, stop).status());
  joint.is_asked_to_run = joint.is_active = false;
  return AskReport(joint, CanFrame{});  // the first answer may still tell the mode before
}

absl::Status MoteusBus::Configure(absl::Duration watchdog_timeout) {
  if (watchdog_timeout < absl::Milliseconds(1) || watchdog_timeout > absl::Seconds(32)) {
    return absl::InvalidArgumentError(
        absl::StrCat("moteus watchdog = ", absl::FormatDuration(watchdog_timeout), "; want 1ms to 32s"));
  }
  watchdog_s_ = absl::ToDoubleSeconds(watchdog_timeout);
  for (Joint& joint : joints_) {
    ASSIGN_OR_RETURN(const Report report, AskReport(joint, CanFrame{}));
    Latch(joint, report);
    if (joint.latched_fault == 0) {
      RETURN_IF_ERROR(Stop(joint).status());
    }
  }
  return absl::OkStatus();
}

absl::Status MoteusBus::ClearFaults() {
  for (Joint& joint : joints_) {
    ASSIGN_OR_RETURN(const Report report, Stop(joint));
    if (report.mode != moteus_mode::kStopped) {
      return absl::FailedPreconditionError(
          absl::StrCat("moteus id ", joint.actuator.id, ": mode ", report.mode, ", ",
                       MoteusFaultName(static_cast<uint32_t>(report.fault)),
                       ", after a stop; want mode 0: remove the cause and try again"));
    }
    joint.latched_fault = 0;
  }
  return absl::OkStatus();
}

bool MoteusBus::ParseReport(const CanFrame& frame, Report& report) {
  MoteusFrameReader reader(frame.payload());
  uint32_t found = 0;
  for (MoteusItem item; reader.Next(item);) {
    if (item.kind == MoteusSubframe::kReadError || item.kind == MoteusSubframe::kWriteError) {
      ++counters_.device_errors;
    }
    if (item.kind != MoteusSubframe::kReply || item.register_value.address > kFault) {
      continue;
    }
    const double value = item.register_value.value;
    found |= 1u << item.register_value.address;
    switch (item.register_value.address) {
      case kMode:
        report.mode = static_cast<int>(WholeNumber(value));
        break;
      case kPosition:
        report.position_rev = value;
        break;
      case kVelocity:
        report.velocity_rev_s = value;
        break;
      case kTorque:
        report.torque_nm = value;
        break;
      case kVoltage:
        report.voltage_v = value;
        break;
      case kBoardTemperature:
        report.temperature_c = value;
        break;
      case kFault:
        report.fault = static_cast<int>(WholeNumber(value));
        break;
      default:
        break;
    }
  }
  constexpr uint32_t kWanted = 1u << kMode | 1u << kPosition | 1u << kVelocity | 1u << kTorque |
                               1u << kVoltage | 1u << kBoardTemperature | 1u << kFault;
  return !reader.malformed() && (found & kWanted) == kWanted;
}

void MoteusBus::Latch(Joint& joint, const Report& report) {
  uint32_t fault = 0;
  if (report.mode == moteus_mode::kFault) {
    fault = report.fault > 0 ? static_cast<uint32_t>(report.fault) : kMoteusUnknownFault;
  } else if (report.mode == moteus_mode::kTimeout) {
    fault = kMoteusTimeoutFault;
  } else if (report.mode == moteus_mode::kStopped && joint.is_active) {
    fault = kMoteusRestartFault;
  }
  if (joint.latched_fault == 0) {
    joint.latched_fault = fault;
  }
}

// Takes in one frame from the bus; false if it is no new answer of this round.
bool MoteusBus::Accept(const CanFrame& frame, std::span<JointMeasurement> measurements) {
  const int index = frame.id < 0x8000 ? joint_of_id_[frame.id >> 8] : -1;
  if (index < 0 || !IsReplyAddress(frame.id & 0xff)) {
    ++counters_.bad_messages;
    return false;
  }
  Joint& joint = joints_[index];
  JointMeasurement& measurement = measurements[index];
  if (measurement.fresh || !IsReplyOf(joint, frame)) {
    ++counters_.late_or_duplicate_replies;
    return false;
  }
  Report report;
  if (!ParseReport(frame, report)) {
    ++counters_.bad_messages;
    return false;
  }
  Latch(joint, report);
  // The codes from 96 on tell what limits the motor's power, not a fault, and modes up to 9 only prepare.
  joint.is_active = joint.is_active || (joint.is_asked_to_run && report.mode >= moteus_mode::kPosition);
  measurement = {.time = RealClock::Get().Now(),
                 .fresh = true,
                 .position_rad = report.position_rev * kRadPerRev,
                 .velocity_rad_s = report.velocity_rev_s * kRadPerRev,
                 .torque_nm = report.torque_nm,
                 .temperature_c = report.temperature_c,
                 .voltage_v = report.voltage_v,
                 .fault = joint.latched_fault};
  return true;
}

BusResult MoteusBus::Read(absl::Duration deadline, std::span<JointMeasurement> measurements) {
  DEMORL_CHECK(measurements.size() == joints_.size());
  StartRound();
  CanFrame question;
  AppendMoteusQuery(question);
  MoteusFrameWriter(question).Pad();
  IoResult io;
  for (size_t i = 0; i < joints_.size(); ++i) {
    measurements[i].fresh = false;
    question.id = kReplyWanted | reply_address_ << 8 | static_cast<uint32_t>(joints_[i].actuator.id);
    if (const IoResult sent = port_->Send(question); !sent.ok()) {
      io = sent;
    }
  }
  size_t num_missing = joints_.size();
  while (num_missing > 0 && (io.ok() || io.code == IoResult::Code::kTimedOut)) {
    CanFrame frame;
    io = port_->Receive(frame, deadline);
    if (!io.ok()) {
      break;
    }
    if (Accept(frame, measurements)) {
      --num_missing;
    } else if (RealClock::Get().Now() >= deadline) {
      break;  // a device that babbles always has another frame
    }
  }
  counters_.missing_replies += num_missing;
  if (const BusResult state = BusStateOf(io); !state.ok()) {
    return state;
  }
  return {.code = num_missing == 0 ? BusResult::Code::kOk : BusResult::Code::kIncomplete};
}

// kTimedOut for a command that may not or cannot be sent.
IoResult MoteusBus::Send(Joint& joint, const JointCommand& command) {
  const bool is_safe = command.mode == ActuatorMode::kFree || command.mode == ActuatorMode::kDamping;
  CanFrame frame{.id = static_cast<uint32_t>(joint.actuator.id)};
  if ((joint.latched_fault != 0 && !is_safe) ||
      !WriteMoteusCommand(joint.actuator, watchdog_s_, command, frame)) {
    return {.code = IoResult::Code::kTimedOut};
  }
  joint.is_asked_to_run = command.mode != ActuatorMode::kFree;
  joint.is_active = joint.is_active && joint.is_asked_to_run;
  MoteusFrameWriter(frame).Pad();
  return port_->Send(frame);
}

BusResult MoteusBus::Write(std::span<const JointCommand> commands) {
  DEMORL_CHECK(commands.size() == joints_.size());
  BusResult result;
  for (size_t i = 0; i < joints_.size(); ++i) {
    const IoResult sent = Send(joints_[i], commands[i]);
    if (const BusResult state = BusStateOf(sent); !state.ok()) {
      return state;
    }
    if (!sent.ok()) {
      result.code = BusResult::Code::kIncomplete;
    }
  }
  return result;
}

BusCounters MoteusBus::counters() const {
  const CanPortCounters port = port_->counters();
  BusCounters counters = counters_;
  counters.bad_messages += port.bad_messages;
  counters.skipped_bytes += port.skipped_bytes;
  counters.device_errors += port.adapter_errors;
  return counters;
}

std::string MoteusBus::DescribeFault(uint32_t fault) const { return std::string(MoteusFaultName(fault)); }

}  // namespace demorl
