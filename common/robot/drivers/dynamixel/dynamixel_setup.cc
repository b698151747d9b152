// What a DYNAMIXEL bus does before and after the loop: blocking, with attempts, one device after the other.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "common/base/status_macros.h"
#include "common/robot/drivers/dynamixel/dynamixel_bus.h"

namespace demorl {
namespace {

using dxl::OperatingMode;

constexpr int kAttempts = 3;
// How long a device may take to come back from a restart.
constexpr absl::Duration kRestartTime = absl::Seconds(1);
// So many states fit into one fast status.
constexpr size_t kMaxServos = 60;
constexpr int kMaxWatchdogUnits = 127;

absl::Status CheckOptions(const DynamixelOptions& options, size_t num_wires) {
  RETURN_IF_ERROR(CheckServoAddresses(options.servos, num_wires, dxl::kMaxId));
  if (options.servos.empty() || options.servos.size() > kMaxServos || !(options.baud_rate > 0)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%d servos at %d bit/s; want 1..%d servos and a baud rate above 0",
                        options.servos.size(), options.baud_rate, kMaxServos));
  }
  return absl::OkStatus();
}

OperatingMode ModeOf(DynamixelControl control) {
  switch (control) {
    case DynamixelControl::kCurrent:
      return OperatingMode::kCurrent;
    case DynamixelControl::kCurrentBasedPosition:
      return OperatingMode::kCurrentBasedPosition;
    case DynamixelControl::kPosition:
      break;
  }
  return OperatingMode::kPosition;
}

const char* ErrorName(uint8_t error) {
  constexpr const char* kNames[] = {"none",       "result fail", "unknown instruction", "CRC",
                                    "data range", "data length", "data limit",          "access"};
  const size_t index = error & ~dxl::kAlert;
  return index < std::size(kNames) ? kNames[index] : "unknown error";
}

int WatchdogUnits(absl::Duration timeout) {
  if (timeout <= absl::ZeroDuration() || timeout == absl::InfiniteDuration()) {
    return 0;
  }
  const absl::Duration unit = absl::Milliseconds(dxl::kWatchdogUnitMs);
  const int64_t units = absl::Ceil(timeout, unit) / unit;
  return static_cast<int>(std::clamp<int64_t>(units, 1, kMaxWatchdogUnits));
}

}  // namespace

absl::StatusOr<std::unique_ptr<DynamixelBus>> DynamixelBus::Create(
    const DynamixelOptions& options, std::vector<std::unique_ptr<ByteStream>> wires, const Clock* clock) {
  RETURN_IF_ERROR(CheckOptions(options, wires.size()));
  return std::unique_ptr<DynamixelBus>(new DynamixelBus(options, std::move(wires), clock));
}

absl::StatusOr<std::vector<uint8_t>> DynamixelBus::Ask(int joint, std::span<const uint8_t> packet,
                                                       size_t data_bytes, const char* what) {
  Wire& wire = wires_[joints_[joint].servo.wire];
  dxl::Line& line = *wire.line;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    dxl::Line::Request request{.ids = std::span(&joints_[joint].servo.id, 1), .data_bytes = data_bytes};
    request.deadline = clock_->Now() + line.RoundTrip(request, packet.size()) + options_.setup_timeout;
    dxl::Line::Status status;
    line.Ask(request, packet);
    wire.spoke_at = clock_->Now();
    while (line.waiting()) {
      if (line.Poll(request.deadline, status) != dxl::Line::Event::kStatus) {
        continue;
      }
      if ((status.error & ~dxl::kAlert) != 0) {
        return absl::FailedPreconditionError(absl::StrFormat("%s: %s: it answers with the error '%s' (%d)",
                                                             Name(joint), what, ErrorName(status.error),
                                                             status.error & ~dxl::kAlert));
      }
      return std::vector<uint8_t>(status.data.begin(), status.data.end());
    }
    if (!line.state().ok()) {
      return absl::UnavailableError(
          absl::StrFormat("%s: %s: the port is closed or unplugged", Name(joint), what));
    }
  }
  return absl::NotFoundError(absl::StrFormat(
      "%s: %s: no reply to %d requests of %s each; check its power, its cable, its id and that it runs "
      "Protocol 2.0 at %d bit/s",
      Name(joint), what, kAttempts, absl::FormatDuration(options_.setup_timeout), options_.baud_rate));
}

absl::StatusOr<std::vector<uint8_t>> DynamixelBus::ReadTable(int joint, uint16_t address, uint16_t num_bytes,
                                                             const char* what) {
  std::array<uint8_t, 32> packet;
  const size_t size = dxl::EncodeRead(joints_[joint].servo.id, address, num_bytes, packet);
  return Ask(joint, std::span(packet).first(size), num_bytes, what);
}

absl::Status DynamixelBus::WriteTable(int joint, uint16_t address, int32_t value, size_t num_bytes,
                                      const char* what) {
  std::array<uint8_t, 32> packet;
  std::array<uint8_t, 4> data;
  dxl::Store(value, num_bytes, data, 0);
  const size_t size =
      dxl::EncodeWrite(joints_[joint].servo.id, address, std::span(data).first(num_bytes), packet);
  return Ask(joint, std::span(packet).first(size), 0, what).status();
}

// What kind of device it is, and its limits.
absl::Status DynamixelBus::Survey(int index) {
  Joint& joint = joints_[index];
  std::array<uint8_t, 16> packet;
  const size_t size = dxl::EncodePacket(joint.servo.id, dxl::Instruction::kPing, {}, packet);
  ASSIGN_OR_RETURN(const std::vector<uint8_t> pong, Ask(index, std::span(packet).first(size), 3, "ping"));
  const uint16_t number = dxl::LoadU16(pong, 0);
  joint.model = dxl::FindModel(number);
  joint.firmware = pong[2];
  if (joint.model == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrFormat("%s: model number %d with firmware %d; want %s", Name(index), number, joint.firmware,
                        absl::StrJoin(dxl::kModels, ", ", [](std::string* out, const dxl::Model& model) {
                          absl::StrAppend(out, model.name, " (", model.number, ")");
                        })));
  }
  if (options_.control != DynamixelControl::kPosition && !joint.model->has_current) {
    return absl::FailedPreconditionError(
        absl::StrFormat("%s: %s cannot control its current, so it takes no torques; want position control",
                        Name(index), joint.model->name));
  }
  ASSIGN_OR_RETURN(
      const std::vector<uint8_t> limits,
      ReadTable(index, dxl::kCurrentLimit, dxl::kMinPosition + 4 - dxl::kCurrentLimit, "its limits"));
  joint.current_limit = dxl::LoadU16(limits, 0);
  joint.maximum_position = dxl::LoadI32(limits, dxl::kMaxPosition - dxl::kCurrentLimit);
  joint.minimum_position = dxl::LoadI32(limits, dxl::kMinPosition - dxl::kCurrentLimit);
  if (joint.minimum_position >= joint.maximum_position) {
    return absl::FailedPreconditionError(absl::StrFormat("%s: positions from %d to %d; want from low to high",
                                                         Name(index), joint.minimum_position,
                                                         joint.maximum_position));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ActuatorInfo>> DynamixelBus::Identify() {
  std::vector<ActuatorInfo> infos;
  for (int i = 0; i < num_joints(); ++i) {
    RETURN_IF_ERROR(Survey(i));
    const Joint& joint = joints_[i];
    const dxl::Model& model = *joint.model;
    const double limit_nm = joint.current_limit * dxl::kCurrentUnitA * model.torque_constant_nm_a;
    infos.push_back({
        .id = joint.servo.id,
        .model = model.name,
        .firmware = absl::StrCat(joint.firmware),
        .max_torque_nm =
            model.has_current ? std::min(limit_nm, model.stall_torque_nm) : model.stall_torque_nm,
        .max_velocity_rad_s = model.no_load_velocity_rad_s,
        .minimum_position_rad = (joint.minimum_position - dxl::kPositionZero) * dxl::kPositionUnitRad,
        .maximum_position_rad = (joint.maximum_position - dxl::kPositionZero) * dxl::kPositionUnitRad,
        .has_watchdog = true,
    });
  }
  return infos;
}

// All off, and all made to answer writes; nobody confirms it.
void DynamixelBus::SilenceAndRelax() {
  std::array<uint8_t, 2 * dxl::kMaxPacketBytes> packets;
  for (Wire& wire : wires_) {
    dxl::SyncWrite torque(dxl::kTorqueEnable, 1), level(dxl::kStatusReturnLevel, 1);
    for (const uint8_t id : wire.ids) {
      torque.Add(id, 0);
      level.Add(id, 2);
    }
    size_t size = torque.Encode(packets);
    size += level.Encode(std::span(packets).subspan(size));
    wire.line->Send(std::span(packets).first(size));
  }
}

absl::Status DynamixelBus::Configure(absl::Duration watchdog_timeout) {
  watchdog_units_ = WatchdogUnits(watchdog_timeout);
  SilenceAndRelax();
  for (int joint = 0; joint < num_joints(); ++joint) {
    RETURN_IF_ERROR(ConfigureJoint(joint));
  }
  for (Wire& wire : wires_) {
    wire.fast = std::all_of(wire.joints.begin(), wire.joints.end(), [this](int joint) {
      return joints_[joint].firmware >= dxl::kFastSyncReadFirmware;
    });
  }
  return absl::OkStatus();
}

absl::Status DynamixelBus::ConfigureJoint(int index) {
  Joint& joint = joints_[index];
  RETURN_IF_ERROR(Survey(index));
  RETURN_IF_ERROR(WriteTable(index, dxl::kTorqueEnable, 0, 1, "torque off"));
  joint.torque_on = false;
  joint.torque_writes_left = joint.current_writes_left = 0;
  // Both are in EEPROM: written only if they differ.
  ASSIGN_OR_RETURN(const std::vector<uint8_t> mode,
                   ReadTable(index, dxl::kOperatingMode, 1, "its operating mode"));
  if (const auto wanted = static_cast<uint8_t>(ModeOf(options_.control)); mode[0] != wanted) {
    RETURN_IF_ERROR(WriteTable(index, dxl::kOperatingMode, wanted, 1, "its operating mode"));
  }
  ASSIGN_OR_RETURN(const std::vector<uint8_t> delay,
                   ReadTable(index, dxl::kReturnDelay, 1, "its return delay"));
  if (delay[0] != 0) {
    RETURN_IF_ERROR(WriteTable(index, dxl::kReturnDelay, 0, 1, "its return delay"));
  }
  ASSIGN_OR_RETURN(const std::vector<uint8_t> watchdog,
                   ReadTable(index, dxl::kBusWatchdog, 1, "its bus watchdog"));
  if (watchdog[0] == dxl::kWatchdogTripped) {
    joint.fault |= kWatchdog;
    return absl::OkStatus();
  }
  return WriteTable(index, dxl::kBusWatchdog, watchdog_units_, 1, "its bus watchdog");
}

absl::Status DynamixelBus::ClearFaults() {
  SilenceAndRelax();
  for (int index = 0; index < num_joints(); ++index) {
    RETURN_IF_ERROR(WriteTable(index, dxl::kTorqueEnable, 0, 1, "torque off"));
    ASSIGN_OR_RETURN(const std::vector<uint8_t> errors,
                     ReadTable(index, dxl::kHardwareError, 1, "its hardware error"));
    if (errors[0] != 0) {
      RETURN_IF_ERROR(Restart(index));
    }
    RETURN_IF_ERROR(WriteTable(index, dxl::kBusWatchdog, 0, 1, "its bus watchdog"));
    joints_[index].fault = 0;
    RETURN_IF_ERROR(ConfigureJoint(index));
  }
  return absl::OkStatus();
}

absl::Status DynamixelBus::Restart(int joint) {
  std::array<uint8_t, 16> packet;
  const size_t size = dxl::EncodePacket(joints_[joint].servo.id, dxl::Instruction::kReboot, {}, packet);
  RETURN_IF_ERROR(Ask(joint, std::span(packet).first(size), 0, "restart").status());
  const absl::Duration deadline = clock_->Now() + kRestartTime;
  absl::Status surveyed;
  do {
    surveyed = Survey(joint);
  } while (absl::IsNotFound(surveyed) && clock_->Now() < deadline);
  return surveyed;
}

std::string DynamixelBus::DescribeFault(uint32_t fault) const {
  constexpr std::pair<uint32_t, const char*> kWords[] = {
      {dxl::kInputVoltage, "supply voltage"},
      {dxl::kOverheating, "too hot"},
      {dxl::kEncoder, "encoder"},
      {dxl::kElectricalShock, "electrical shock or too little power"},
      {dxl::kOverload, "overload"},
      {kWatchdog, "bus watchdog tripped"},
      {kTorqueLost, "switched its torque off by itself"},
      {kNotPossible, "torques cannot be commanded under position control"},
      {kAlert, "hardware error, not yet explained"},
  };
  std::vector<absl::string_view> words;
  for (const auto& [bit, word] : kWords) {
    if ((fault & bit) != 0) {
      words.push_back(word);
    }
  }
  return words.empty() ? "none" : absl::StrJoin(words, ", ");
}

}  // namespace demorl
