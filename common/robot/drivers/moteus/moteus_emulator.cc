#include "common/robot/drivers/moteus/moteus_emulator.h"

namespace demorl {
namespace {

void Append(const FdcanusbBuffer& line, size_t size, std::vector<uint8_t>& bytes) {
  bytes.insert(bytes.end(), line.begin(), line.begin() + static_cast<ptrdiff_t>(size));
}

}  // namespace

MoteusEmulator::MoteusEmulator(const MoteusEmulatorOptions& options)
    : reply_before_ok_(options.reply_before_ok),
      controllers_(options.controllers.begin(), options.controllers.end()) {}

void MoteusEmulator::Receive(std::span<const uint8_t> bytes, absl::Duration now,
                             std::vector<uint8_t>& replies) {
  for (const uint8_t byte : bytes) {
    if (reader_.Push(byte)) {
      HandleLine(now, replies);
    }
  }
}

void MoteusEmulator::Step(absl::Duration now, const RobotPlant& plant, std::span<double> torques_nm,
                          std::vector<uint8_t>& /*output*/) {
  for (EmulatedMoteus& controller : controllers_) {
    const int joint = controller.options().joint;
    torques_nm[joint] = controller.Step(now, plant.position_rad(joint), plant.velocity_rad_s(joint));
  }
}

void MoteusEmulator::HandleLine(absl::Duration now, std::vector<uint8_t>& replies) {
  const FdcanusbLine line = ParseFdcanusbLine(reader_.line());
  checksums_ = checksums_ || line.has_checksum;
  if (line.kind == FdcanusbLine::Kind::kWrongChecksum || line.has_checksum != checksums_) {
    Answer("ERR checksum", replies);
    return;
  }
  switch (line.kind) {
    case FdcanusbLine::Kind::kSend:
      HandleFrame(line.frame, now, replies);
      return;
    case FdcanusbLine::Kind::kMalformed:
      Answer("ERR malformed frame", replies);
      return;
    default:
      HandleText(line.text, replies);
  }
}

void MoteusEmulator::HandleFrame(const CanFrame& frame, absl::Duration now, std::vector<uint8_t>& replies) {
  if (!bus_is_on_) {
    Answer("ERR not in BUSON state", replies);
    return;
  }
  if (!reply_before_ok_) {
    Answer("OK", replies);
  }
  for (EmulatedMoteus& controller : controllers_) {
    if (CanFrame reply; controller.Handle(frame, now, reply)) {
      FdcanusbBuffer line;
      Append(line, WriteReceivedLine(reply, checksums_, line), replies);
    }
  }
  if (reply_before_ok_) {
    Answer("OK", replies);
  }
}

void MoteusEmulator::HandleText(std::string_view text, std::vector<uint8_t>& replies) {
  if (text == "can on" || text == "can off") {
    bus_is_on_ = text == "can on";
    Answer("OK", replies);
  } else if (text == "can status") {
    Answer(bus_is_on_ ? "mode:BUSON" : "mode:BUSOFF", replies);
    Answer("OK", replies);
  } else {
    Answer("ERR unknown command", replies);
  }
}

void MoteusEmulator::Answer(std::string_view text, std::vector<uint8_t>& replies) const {
  FdcanusbBuffer line;
  Append(line, WriteTextLine(text, checksums_, line), replies);
}

}  // namespace demorl
