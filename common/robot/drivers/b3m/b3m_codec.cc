#include "common/robot/drivers/b3m/b3m_codec.h"

#include <algorithm>

namespace demorl::b3m {
namespace {

uint8_t Sum(std::span<const uint8_t> bytes) {
  uint8_t sum = 0;
  for (const uint8_t byte : bytes) {
    sum = static_cast<uint8_t>(sum + byte);
  }
  return sum;
}

bool IsKnownCommand(uint8_t command) {
  const uint8_t request = command & ~kReplyBit;
  return request >= static_cast<uint8_t>(Command::kLoad) &&
         request <= static_cast<uint8_t>(Command::kPosition);
}

constexpr uint8_t Byte(Command command) { return static_cast<uint8_t>(command); }

}  // namespace

size_t EncodePacket(uint8_t command, uint8_t option, uint8_t id, std::span<const uint8_t> data,
                    std::span<uint8_t> out) {
  const size_t size = kMinPacketBytes + data.size();
  if (size > kMaxPacketBytes || size > out.size()) {
    return 0;
  }
  out[0] = static_cast<uint8_t>(size);
  out[1] = command;
  out[2] = option;
  out[3] = id;
  std::copy(data.begin(), data.end(), out.begin() + 4);
  out[size - 1] = Sum(out.first(size - 1));
  return size;
}

size_t EncodeRead(uint8_t id, uint8_t address, uint8_t num_bytes, std::span<uint8_t> out) {
  const std::array<uint8_t, 2> data = {address, num_bytes};
  return EncodePacket(Byte(Command::kRead), 0, id, data, out);
}

size_t EncodeWrite(uint8_t id, uint8_t address, std::span<const uint8_t> data, std::span<uint8_t> out) {
  const size_t size = kMinPacketBytes + data.size() + 2;
  if (size > kMaxPacketBytes || size > out.size()) {
    return 0;
  }
  out[0] = static_cast<uint8_t>(size);
  out[1] = Byte(Command::kWrite);
  out[2] = 0;
  out[3] = id;
  std::copy(data.begin(), data.end(), out.begin() + 4);
  out[size - 3] = address;
  out[size - 2] = 1;
  out[size - 1] = Sum(out.first(size - 1));
  return size;
}

size_t EncodePosition(uint8_t id, int16_t centidegrees, uint16_t time_ms, std::span<uint8_t> out) {
  std::array<uint8_t, 4> data;
  StoreI16(centidegrees, data, 0);
  StoreI16(static_cast<int16_t>(time_ms), data, 2);
  return EncodePacket(Byte(Command::kPosition), 0, id, data, out);
}

size_t EncodeReset(uint8_t id, uint8_t delay, std::span<uint8_t> out) {
  return EncodePacket(Byte(Command::kReset), 0, id, std::span(&delay, 1), out);
}

size_t EncodeReply(Command command, uint8_t status, uint8_t id, std::span<const uint8_t> data,
                   std::span<uint8_t> out) {
  return EncodePacket(Byte(command) | kReplyBit, status, id, data, out);
}

size_t EncodeFreeAll(std::span<uint8_t> out) {
  constexpr uint8_t kFree = static_cast<uint8_t>(RunMode::kFree);
  return EncodeWrite(kBroadcastId, kMode, std::span(&kFree, 1), out);
}

MultiWrite::MultiWrite(uint8_t address, size_t value_bytes, std::span<uint8_t> out)
    : address_(address), value_bytes_(value_bytes), out_(out) {}

void MultiWrite::Add(uint8_t id, int16_t value) {
  const size_t size_after = size_ + 1 + value_bytes_ + 3;
  if (size_after > std::min(out_.size(), kMaxPacketBytes)) {
    fits_ = false;
    return;
  }
  out_[size_++] = id;
  out_[size_++] = static_cast<uint8_t>(value);
  if (value_bytes_ == 2) {
    out_[size_++] = static_cast<uint8_t>(static_cast<uint16_t>(value) >> 8);
  }
  ++num_servos_;
}

size_t MultiWrite::Finish() {
  if (num_servos_ == 0 || !fits_) {
    return 0;
  }
  const size_t size = size_ + 3;
  out_[0] = static_cast<uint8_t>(size);
  out_[1] = Byte(Command::kWrite);
  out_[2] = 0;
  out_[size - 3] = address_;
  out_[size - 2] = static_cast<uint8_t>(num_servos_);
  out_[size - 1] = Sum(out_.first(size - 1));
  return size;
}

std::optional<WriteView> ParseWrite(const Packet& packet) {
  const std::span<const uint8_t> body = packet.body;
  if (body.size() < 4) {
    return std::nullopt;
  }
  WriteView view;
  view.address = body[body.size() - 2];
  view.num_servos = body[body.size() - 1];
  view.entries = body.first(body.size() - 2);
  if (view.num_servos == 0 || view.entries.size() % view.num_servos != 0 ||
      view.entries.size() / view.num_servos < 2) {
    return std::nullopt;
  }
  view.value_bytes = view.entries.size() / view.num_servos - 1;
  return view;
}

std::optional<Packet> Parser::Next() {
  while (window_.unread().size() >= 2) {
    const std::span<const uint8_t> rest = window_.unread();
    const size_t size = rest[0];
    if (size < kMinPacketBytes || !IsKnownCommand(rest[1])) {
      window_.Skip(1);
      continue;
    }
    if (rest.size() < size) {
      return std::nullopt;
    }
    if (rest[size - 1] != Sum(rest.first(size - 1))) {
      ++num_damaged_;
      window_.Skip(1);
      continue;
    }
    window_.Consume(size);
    return Packet{rest[1], rest[2], rest.subspan(3, size - 4)};
  }
  return std::nullopt;
}

std::optional<Packet> Parser::Flush() {
  while (!window_.unread().empty()) {
    if (std::optional<Packet> packet = Next()) {
      return packet;
    }
    if (!window_.unread().empty()) {
      window_.Skip(1);
    }
  }
  return std::nullopt;
}

}  // namespace demorl::b3m
