#include "common/robot/drivers/dynamixel/dynamixel_codec.h"

#include <algorithm>

namespace demorl::dxl {
namespace {

constexpr std::array<uint8_t, 4> kHeader = {0xFF, 0xFF, 0xFD, 0x00};
constexpr size_t kInstructionOffset = 7;
constexpr size_t kParametersOffset = 8;
constexpr size_t kCrcBytes = 2;

constexpr std::array<uint16_t, 256> MakeCrcTable() {
  std::array<uint16_t, 256> table = {};
  for (unsigned i = 0; i < table.size(); ++i) {
    unsigned crc = i << 8;
    for (int bit = 0; bit < 8; ++bit) {
      crc = crc << 1 ^ ((crc & 0x8000) != 0 ? 0x8005u : 0u);
    }
    table[i] = static_cast<uint16_t>(crc);
  }
  return table;
}
constexpr std::array<uint16_t, 256> kCrcTable = MakeCrcTable();

void PutCrc(std::span<uint8_t> packet) {
  const size_t end = packet.size() - kCrcBytes;
  Store(Crc16(packet.first(end)), kCrcBytes, packet, end);
}

// Whether the last three bytes are FF FF FD, within the stuffed part.
bool EndsInHeader(std::span<const uint8_t> out, size_t size) {
  return size >= kInstructionOffset + 3 && out[size - 1] == 0xFD && out[size - 2] == 0xFF &&
         out[size - 3] == 0xFF;
}

size_t LengthOf(std::span<const uint8_t> packet) { return LoadU16(packet, 5); }

}  // namespace

uint16_t Crc16(std::span<const uint8_t> bytes, uint16_t crc) {
  for (const uint8_t byte : bytes) {
    crc = static_cast<uint16_t>(crc << 8 ^ kCrcTable[(crc >> 8 ^ byte) & 0xFF]);
  }
  return crc;
}

size_t EncodePacket(uint8_t id, Instruction instruction, std::span<const uint8_t> parameters,
                    std::span<uint8_t> out) {
  out = out.first(std::min(out.size(), kMaxPacketBytes));
  if (out.size() < kMinPacketBytes + parameters.size()) {
    return 0;
  }
  std::copy(kHeader.begin(), kHeader.end(), out.begin());
  out[4] = id;
  out[kInstructionOffset] = static_cast<uint8_t>(instruction);
  size_t size = kParametersOffset;
  for (const uint8_t byte : parameters) {
    if (size + 1 + kCrcBytes > out.size()) {
      return 0;
    }
    out[size++] = byte;
    if (EndsInHeader(out, size)) {
      if (size + 1 + kCrcBytes > out.size()) {
        return 0;
      }
      out[size++] = 0xFD;
    }
  }
  size += kCrcBytes;
  Store(static_cast<int32_t>(size - kInstructionOffset), 2, out, 5);
  PutCrc(out.first(size));
  return size;
}

size_t EncodeStatus(uint8_t id, uint8_t error, std::span<const uint8_t> data, std::span<uint8_t> out) {
  std::array<uint8_t, kMaxPacketBytes> parameters;
  if (data.size() >= parameters.size()) {
    return 0;
  }
  parameters[0] = error;
  std::copy(data.begin(), data.end(), parameters.begin() + 1);
  return EncodePacket(id, Instruction::kStatus, std::span(parameters).first(data.size() + 1), out);
}

size_t EncodeRead(uint8_t id, uint16_t address, uint16_t num_bytes, std::span<uint8_t> out) {
  std::array<uint8_t, 4> parameters;
  Store(address, 2, parameters, 0);
  Store(num_bytes, 2, parameters, 2);
  return EncodePacket(id, Instruction::kRead, parameters, out);
}

size_t EncodeWrite(uint8_t id, uint16_t address, std::span<const uint8_t> data, std::span<uint8_t> out) {
  std::array<uint8_t, kMaxPacketBytes> parameters;
  if (data.size() + 2 > parameters.size()) {
    return 0;
  }
  Store(address, 2, parameters, 0);
  std::copy(data.begin(), data.end(), parameters.begin() + 2);
  return EncodePacket(id, Instruction::kWrite, std::span(parameters).first(data.size() + 2), out);
}

size_t EncodeSyncRead(Instruction instruction, uint16_t address, uint16_t num_bytes,
                      std::span<const uint8_t> ids, std::span<uint8_t> out) {
  std::array<uint8_t, 4 + kMaxId + 1> parameters;
  if (ids.empty() || ids.size() + 4 > parameters.size()) {
    return 0;
  }
  Store(address, 2, parameters, 0);
  Store(num_bytes, 2, parameters, 2);
  std::copy(ids.begin(), ids.end(), parameters.begin() + 4);
  return EncodePacket(kBroadcastId, instruction, std::span(parameters).first(ids.size() + 4), out);
}

SyncWrite::SyncWrite(uint16_t address, uint16_t value_bytes) : value_bytes_(value_bytes) {
  Store(address, 2, parameters_, 0);
  Store(value_bytes, 2, parameters_, 2);
}

void SyncWrite::Add(uint8_t id, int32_t value) {
  if (size_ + 1 + value_bytes_ > parameters_.size()) {
    fits_ = false;
    return;
  }
  parameters_[size_++] = id;
  Store(value, value_bytes_, parameters_, size_);
  size_ += value_bytes_;
}

size_t SyncWrite::Encode(std::span<uint8_t> out) const {
  return !fits_ || size_ == 4
             ? 0
             : EncodePacket(kBroadcastId, Instruction::kSyncWrite, std::span(parameters_).first(size_), out);
}

FastStatusWriter::FastStatusWriter(size_t num_devices, size_t data_bytes, std::span<uint8_t> out)
    : out_(out) {
  const size_t length = 1 + num_devices * kFastBlockBytes + data_bytes;
  if (kInstructionOffset + length > std::min(out.size(), kMaxPacketBytes)) {
    return;
  }
  std::copy(kHeader.begin(), kHeader.end(), out.begin());
  out[4] = kBroadcastId;
  Store(static_cast<int32_t>(length), 2, out, 5);
  out[kInstructionOffset] = static_cast<uint8_t>(Instruction::kStatus);
  size_ = kParametersOffset;
}

void FastStatusWriter::Add(uint8_t error, uint8_t id, std::span<const uint8_t> data) {
  if (size_ == 0 || size_ + kFastBlockBytes + data.size() > out_.size()) {
    return;
  }
  out_[size_++] = error;
  out_[size_++] = id;
  std::copy(data.begin(), data.end(), out_.begin() + size_);
  size_ += data.size() + kCrcBytes;
  PutCrc(out_.first(size_));
}

std::optional<FastBlock> ReadFastBlock(std::span<const uint8_t> raw, size_t index, size_t data_bytes) {
  const size_t begin = kParametersOffset + index * (data_bytes + kFastBlockBytes);
  const size_t crc = begin + 2 + data_bytes;
  if (raw.size() < crc + kCrcBytes || LoadU16(raw, crc) != Crc16(raw.first(crc))) {
    return std::nullopt;
  }
  return FastBlock{raw[begin], raw[begin + 1], raw.subspan(begin + 2, data_bytes)};
}

std::optional<Packet> Parser::Next() {
  while (!window_.unread().empty()) {
    const std::span<const uint8_t> rest = window_.unread();
    if (!std::equal(kHeader.begin(), kHeader.begin() + std::min(rest.size(), kHeader.size()), rest.begin())) {
      window_.Skip(1);
      continue;
    }
    if (rest.size() < kInstructionOffset) {
      return std::nullopt;
    }
    const size_t size = kInstructionOffset + LengthOf(rest);
    if (size < kMinPacketBytes || size > kMaxPacketBytes || (rest[4] > kMaxId && rest[4] != kBroadcastId)) {
      window_.Skip(1);
      continue;
    }
    if (rest.size() < size) {
      return std::nullopt;
    }
    const std::span<const uint8_t> raw = rest.first(size);
    const bool crc_ok = LoadU16(raw, size - kCrcBytes) == Crc16(raw.first(size - kCrcBytes));
    if (crc_ok) {
      window_.Consume(size);
      return MakePacket(raw, true);
    }
    ++num_damaged_;
    window_.Skip(1);
    if (shows_bad_crc_) {
      return MakePacket(raw, false);
    }
  }
  return std::nullopt;
}

Packet Parser::MakePacket(std::span<const uint8_t> raw, bool crc_ok) {
  const std::span<const uint8_t> stuffed = raw.subspan(0, raw.size() - kCrcBytes);
  size_t size = 0;
  for (size_t i = kParametersOffset; i < stuffed.size(); ++i) {
    parameters_[size++] = stuffed[i];
    if (EndsInHeader(stuffed, i + 1) && i + 1 < stuffed.size() && stuffed[i + 1] == 0xFD) {
      ++i;
    }
  }
  return {raw[4], raw[kInstructionOffset], std::span(parameters_).first(size), raw, crc_ok};
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

}  // namespace demorl::dxl
