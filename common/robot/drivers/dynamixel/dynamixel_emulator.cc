#include "common/robot/drivers/dynamixel/dynamixel_emulator.h"

#include <array>

namespace demorl {

using dxl::EmulatedServo;
using dxl::Instruction;
using dxl::Packet;

namespace {

// Address and length of a sync instruction; with an id before them, of a bulk instruction for one device.
constexpr size_t kSyncHeaderBytes = 4;
constexpr size_t kBulkHeaderBytes = 5;

}  // namespace

DynamixelEmulator::DynamixelEmulator(const DynamixelEmulatorOptions& options)
    : EmulatedServoWire(options.baud_rate, /*shows_bad_crc=*/true) {
  for (const DynamixelEmulatorOptions::Servo& servo : options.servos) {
    Add(EmulatedServo(*servo.model, servo.id, servo.firmware, options.behaviour), servo.joint);
  }
}

void DynamixelEmulator::Handle(const Packet& packet, absl::Duration now) {
  if (packet.is_status()) {
    return;
  }
  for (EmulatedServo& servo : servos()) {
    servo.FeedWatchdog(now);
  }
  if (packet.id != dxl::kBroadcastId) {
    if (EmulatedServo* servo = Find(packet.id, now)) {
      HandleOne(*servo, packet, now);
    }
    return;
  }
  if (!packet.crc_ok) {
    return;
  }
  switch (static_cast<Instruction>(packet.instruction)) {
    case Instruction::kSyncRead:
      return HandleReads(SyncReads(packet), now);
    case Instruction::kBulkRead:
      return HandleReads(BulkReads(packet), now);
    case Instruction::kFastSyncRead:
      return HandleFastReads(SyncReads(packet), now);
    case Instruction::kFastBulkRead:
      return HandleFastReads(BulkReads(packet), now);
    case Instruction::kSyncWrite:
      return HandleWrites(SyncWrites(packet), now);
    case Instruction::kBulkWrite:
      return HandleWrites(BulkWrites(packet), now);
    default:
      for (EmulatedServo& servo : servos()) {
        if (servo.answers(now)) {
          HandleOne(servo, packet, now);
        }
      }
  }
}

// What one device does, and what it says to that.
DynamixelEmulator::Outcome DynamixelEmulator::Execute(EmulatedServo& servo, const Packet& packet) {
  if (!packet.crc_ok) {
    return {.error = dxl::kCrcError};
  }
  const std::span<const uint8_t> parameters = packet.parameters;
  const bool has_address = parameters.size() >= 2;
  const size_t address = has_address ? dxl::LoadU16(parameters, 0) : 0;
  Outcome outcome;
  switch (static_cast<Instruction>(packet.instruction)) {
    case Instruction::kPing:
      dxl::Store(servo.model().number, 2, what_it_is_, 0);
      what_it_is_[2] = static_cast<uint8_t>(servo.Value(dxl::kFirmwareVersion, 1));
      outcome = {.data = what_it_is_, .answered_from_level = 0};
      break;
    case Instruction::kRead:
      outcome = {.error = dxl::kLengthError, .answered_from_level = 1};
      if (parameters.size() == 4) {
        outcome.error = servo.Read(address, dxl::LoadU16(parameters, 2), outcome.data);
      }
      break;
    case Instruction::kWrite:
      outcome.error = has_address ? servo.Write(address, parameters.subspan(2)) : uint8_t{dxl::kLengthError};
      break;
    case Instruction::kRegWrite:
      outcome.error =
          has_address ? servo.Register(address, parameters.subspan(2)) : uint8_t{dxl::kLengthError};
      break;
    case Instruction::kAction:
      outcome.error = servo.Act();
      break;
    case Instruction::kReboot:
      break;
    default:
      outcome.error = dxl::kInstructionError;
  }
  return outcome;
}

// To a broadcast only a ping is answered.
void DynamixelEmulator::HandleOne(EmulatedServo& servo, const Packet& packet, absl::Duration now) {
  const int level = servo.status_return_level();
  const bool broadcast = packet.id == dxl::kBroadcastId;
  const Outcome outcome = Execute(servo, packet);
  if (level >= outcome.answered_from_level && (!broadcast || outcome.answered_from_level == 0)) {
    // From the id that was asked, even if the write has changed it.
    std::array<uint8_t, dxl::kMaxPacketBytes> bytes;
    const size_t size = dxl::EncodeStatus(broadcast ? servo.id() : packet.id, outcome.error | servo.alert(),
                                          outcome.data, bytes);
    Say(servo.return_delay(), std::span(bytes).first(size));
  }
  if (packet.crc_ok && packet.instruction == static_cast<uint8_t>(Instruction::kReboot)) {
    servo.Restart(now);
  }
}

// One address and length, and the ids.
std::vector<DynamixelEmulator::Read> DynamixelEmulator::SyncReads(const Packet& packet) {
  std::vector<Read> reads;
  if (packet.parameters.size() >= kSyncHeaderBytes) {
    for (const uint8_t id : packet.parameters.subspan(kSyncHeaderBytes)) {
      reads.push_back({id, dxl::LoadU16(packet.parameters, 0), dxl::LoadU16(packet.parameters, 2)});
    }
  }
  return reads;
}

// Id, address and length of each.
std::vector<DynamixelEmulator::Read> DynamixelEmulator::BulkReads(const Packet& packet) {
  std::vector<Read> reads;
  for (std::span<const uint8_t> rest = packet.parameters; rest.size() >= kBulkHeaderBytes;
       rest = rest.subspan(kBulkHeaderBytes)) {
    reads.push_back({rest[0], dxl::LoadU16(rest, 1), dxl::LoadU16(rest, 3)});
  }
  return reads;
}

// One address and length, then id and data of each.
std::vector<DynamixelEmulator::Write> DynamixelEmulator::SyncWrites(const Packet& packet) {
  std::vector<Write> writes;
  if (packet.parameters.size() < kSyncHeaderBytes) {
    return writes;
  }
  const size_t num_bytes = dxl::LoadU16(packet.parameters, 2);
  for (std::span<const uint8_t> rest = packet.parameters.subspan(kSyncHeaderBytes);
       num_bytes > 0 && rest.size() > num_bytes; rest = rest.subspan(1 + num_bytes)) {
    writes.push_back({rest[0], dxl::LoadU16(packet.parameters, 0), rest.subspan(1, num_bytes)});
  }
  return writes;
}

// Id, address, length and data of each.
std::vector<DynamixelEmulator::Write> DynamixelEmulator::BulkWrites(const Packet& packet) {
  std::vector<Write> writes;
  std::span<const uint8_t> rest = packet.parameters;
  while (rest.size() >= kBulkHeaderBytes) {
    const size_t num_bytes = dxl::LoadU16(rest, 3);
    if (rest.size() < kBulkHeaderBytes + num_bytes) {
      break;
    }
    writes.push_back({rest[0], dxl::LoadU16(rest, 1), rest.subspan(kBulkHeaderBytes, num_bytes)});
    rest = rest.subspan(kBulkHeaderBytes + num_bytes);
  }
  return writes;
}

// Each answers after the one before it: who misses a predecessor stays silent.
void DynamixelEmulator::HandleReads(const std::vector<Read>& reads, absl::Duration now) {
  for (const Read& read : reads) {
    EmulatedServo* servo = Find(read.id, now);
    if (servo == nullptr || servo->status_return_level() == 0) {
      return;
    }
    std::span<const uint8_t> data;
    const uint8_t error = servo->Read(read.address, read.num_bytes, data);
    std::array<uint8_t, dxl::kMaxPacketBytes> bytes;
    const size_t size = dxl::EncodeStatus(read.id, error | servo->alert(), data, bytes);
    Say(servo->return_delay(), std::span(bytes).first(size));
  }
}

// All answer in one packet, which ends before the first that is silent.
void DynamixelEmulator::HandleFastReads(const std::vector<Read>& reads, absl::Duration now) {
  size_t data_bytes = 0;
  for (const Read& read : reads) {
    data_bytes += read.num_bytes;
  }
  std::array<uint8_t, dxl::kMaxPacketBytes> bytes;
  dxl::FastStatusWriter writer(reads.size(), data_bytes, bytes);
  absl::Duration delay;
  for (const Read& read : reads) {
    EmulatedServo* servo = Find(read.id, now);
    std::span<const uint8_t> data;
    if (servo == nullptr || servo->Value(dxl::kFirmwareVersion, 1) < dxl::kFastSyncReadFirmware ||
        servo->Read(read.address, read.num_bytes, data) != dxl::kNone) {
      break;
    }
    delay = read.id == reads[0].id ? servo->return_delay() : delay;
    writer.Add(servo->alert(), read.id, data);
  }
  if (writer.size() > dxl::kMinPacketBytes) {
    Say(delay, std::span(bytes).first(writer.size()));
  }
}

void DynamixelEmulator::HandleWrites(const std::vector<Write>& writes, absl::Duration now) {
  for (const Write& write : writes) {
    if (EmulatedServo* servo = Find(write.id, now)) {
      servo->Write(write.address, write.data);
    }
  }
}

}  // namespace demorl
