#include "common/robot/drivers/b3m/b3m_emulator.h"

#include <algorithm>
#include <array>

namespace demorl {

using b3m::Command;
using b3m::EmulatedServo;
using b3m::Packet;

B3mEmulator::B3mEmulator(const B3mEmulatorOptions& options)
    : EmulatedServoWire(options.baud_rate), return_delay_(options.return_delay) {
  for (const B3mEmulatorOptions::Servo& servo : options.servos) {
    Add(EmulatedServo(servo.id, options.baud_rate, options.behaviour), servo.joint);
  }
}

void B3mEmulator::Handle(const Packet& packet, absl::Duration now) {
  if (packet.command == static_cast<uint8_t>(Command::kWrite)) {
    HandleWrite(packet, now);
    return;
  }
  if (packet.command == static_cast<uint8_t>(Command::kReset)) {
    for (EmulatedServo& servo : servos()) {
      if (packet.id() == servo.id() || packet.id() == b3m::kBroadcastId) {
        servo.Restart(now);
      }
    }
    return;
  }
  EmulatedServo* servo = Find(packet.id(), now);
  if (servo == nullptr) {
    return;
  }
  const std::span<const uint8_t> data = packet.data();
  std::span<const uint8_t> answer;
  if (packet.command == static_cast<uint8_t>(Command::kRead) && data.size() == 2) {
    answer = servo->Read(data[0], std::min<size_t>(data[1], b3m::kMaxPacketBytes - b3m::kMinPacketBytes));
  } else if (packet.command == static_cast<uint8_t>(Command::kPosition) && data.size() == 4) {
    servo->Move(b3m::LoadI16(data, 0), b3m::LoadU16(data, 2));
    answer = servo->Read(b3m::kPresentPosition, 2);
  } else if (packet.command == static_cast<uint8_t>(Command::kSave)) {
    servo->Save();
  } else if (packet.command == static_cast<uint8_t>(Command::kLoad)) {
    servo->Load();
  } else if (packet.is_reply()) {
    return;
  } else {
    servo->AddStatus(b3m::kCommandStatus, b3m::kWrongLength);
  }
  Answer(*servo, packet, answer);
}

// One servo answers; of several, and to a broadcast, none does.
void B3mEmulator::HandleWrite(const Packet& packet, absl::Duration now) {
  const std::optional<b3m::WriteView> write = b3m::ParseWrite(packet);
  for (EmulatedServo& servo : servos()) {
    if (!servo.answers(now)) {
      continue;
    }
    if (!write) {
      if (servo.id() == packet.id()) {
        servo.AddStatus(b3m::kCommandStatus, b3m::kWrongLength);
        Answer(servo, packet, {});
      }
      continue;
    }
    for (size_t i = 0; i < write->num_servos; ++i) {
      // The reply comes from the id that was asked, even if the write has changed it.
      if (write->id(i) == servo.id()) {
        servo.Write(write->address, write->value(i));
        if (write->num_servos == 1) {
          Answer(servo, packet, {});
        }
        break;
      }
      if (write->id(i) == b3m::kBroadcastId) {
        servo.Write(write->address, write->value(i));
      }
    }
  }
}

void B3mEmulator::Answer(EmulatedServo& servo, const Packet& packet, std::span<const uint8_t> data) {
  std::array<uint8_t, b3m::kMaxPacketBytes> bytes;
  const uint8_t status = servo.TakeStatus(packet.option);
  const size_t size = b3m::EncodePacket(packet.command | b3m::kReplyBit, status, packet.id(), data, bytes);
  Say(return_delay_, std::span(bytes).first(size));
}

}  // namespace demorl
