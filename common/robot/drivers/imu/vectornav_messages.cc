#include "common/robot/drivers/imu/vectornav_messages.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_format.h"
#include "common/robot/drivers/imu/wire_numbers.h"

namespace demorl {
namespace {

constexpr uint8_t kBinary = 0xfa;
constexpr uint8_t kGroupCommon = 0x01;
constexpr size_t kBinaryHeader = 4;
constexpr size_t kCrcBytes = 2;
// Of the longest text; registers are shorter.
constexpr size_t kMaxText = 256;
// Of the fields of group 1, from bit 0 on; bit 15 is unused.
constexpr std::array<uint8_t, 15> kFieldBytes = {8, 8, 8, 12, 16, 12, 24, 12, 12, 24, 20, 28, 2, 4, 8};

// What stands at the front of the unread bytes.
struct Candidate {
  enum class Kind { kIncomplete, kGarbage, kCorrupt, kMessage };
  Kind kind = Kind::kGarbage;
  size_t size = 0;
  VectorNavMessage message;
};

uint8_t Xor(std::span<const uint8_t> bytes) {
  uint8_t result = 0;
  for (const uint8_t byte : bytes) {
    result ^= byte;
  }
  return result;
}

int HexDigit(uint8_t character) {
  if (character >= '0' && character <= '9') {
    return character - '0';
  }
  const uint8_t upper = character & 0xdf;
  return upper >= 'A' && upper <= 'F' ? upper - 'A' + 10 : -1;
}

std::optional<uint32_t> Hex(std::span<const uint8_t> digits) {
  uint32_t value = 0;
  for (const uint8_t digit : digits) {
    if (HexDigit(digit) < 0) {
      return std::nullopt;
    }
    value = value * 16 + static_cast<uint32_t>(HexDigit(digit));
  }
  return value;
}

// `checksum`: what stands between the * and the end of the line.
bool TextChecksumHolds(std::span<const uint8_t> text, std::span<const uint8_t> checksum) {
  const std::optional<uint32_t> value = Hex(checksum);
  return value.has_value() && ((checksum.size() == 2 && *value == Xor(text)) ||
                               (checksum.size() == 4 && *value == VectorNavCrc(text)));
}

Candidate ExamineText(std::span<const uint8_t> bytes) {
  const auto is_text = [](uint8_t c) { return c >= 0x20 && c < 0x7f; };
  const std::span<const uint8_t> line = bytes.first(std::min(bytes.size(), kMaxText));
  const auto end = std::find_if_not(line.begin(), line.end(), is_text);
  if (end == line.end()) {
    return {.kind = line.size() < kMaxText ? Candidate::Kind::kIncomplete : Candidate::Kind::kGarbage};
  }
  const size_t length = end - line.begin();
  const auto star = std::find(line.begin(), end, uint8_t{'*'});
  if (*end != '\r' || star == end || star == line.begin() + 1) {
    return {};
  }
  if (length + 1 == bytes.size()) {
    return {.kind = Candidate::Kind::kIncomplete};
  }
  if (bytes[length + 1] != '\n') {
    return {};
  }
  const std::span<const uint8_t> text(line.begin() + 1, star), checksum(star + 1, end);
  const bool unchecked = checksum.size() == 2 && checksum[0] == 'X' && checksum[1] == 'X';
  if (!unchecked && !TextChecksumHolds(text, checksum)) {
    return {.kind = Candidate::Kind::kCorrupt};
  }
  return {.kind = Candidate::Kind::kMessage,
          .size = length + 2,
          .message = {.text = {reinterpret_cast<const char*>(text.data()), text.size()},
                      .has_checksum = !unchecked}};
}

size_t PayloadBytes(uint16_t fields) {
  size_t size = 0;
  for (size_t bit = 0; bit < kFieldBytes.size(); ++bit) {
    size += (fields >> bit & 1) != 0 ? kFieldBytes[bit] : 0;
  }
  return size;
}

Candidate ExamineBinary(std::span<const uint8_t> bytes) {
  if (bytes.size() >= 2 && bytes[1] != kGroupCommon) {
    return {};
  }
  if (bytes.size() < kBinaryHeader) {
    return {.kind = Candidate::Kind::kIncomplete};
  }
  const uint16_t fields = LoadLittleEndian<uint16_t>(bytes.subspan(2));
  if (fields == 0 || (fields >> kFieldBytes.size()) != 0) {
    return {};
  }
  const size_t size = kBinaryHeader + PayloadBytes(fields) + kCrcBytes;
  if (bytes.size() < size) {
    return {.kind = Candidate::Kind::kIncomplete};
  }
  // The CRC over its own big-endian value, too, is zero.
  if (VectorNavCrc(bytes.subspan(1, size - 1)) != 0) {
    return {.kind = Candidate::Kind::kCorrupt};
  }
  return {.kind = Candidate::Kind::kMessage,
          .size = size,
          .message = {.fields = fields, .payload = bytes.subspan(kBinaryHeader, PayloadBytes(fields))}};
}

template <size_t kSize>
std::array<double, kSize> LoadFloats(std::span<const uint8_t> bytes) {
  std::array<double, kSize> values;
  for (size_t i = 0; i < kSize; ++i) {
    values[i] = FloatOf(LoadLittleEndian<uint32_t>(bytes.subspan(i * sizeof(float))));
  }
  return values;
}

}  // namespace

uint16_t VectorNavCrc(std::span<const uint8_t> bytes) {
  uint16_t crc = 0;
  for (const uint8_t byte : bytes) {
    crc = static_cast<uint16_t>((crc >> 8) | (crc << 8));
    crc ^= byte;
    crc ^= (crc & 0xff) >> 4;
    crc = static_cast<uint16_t>(crc ^ (crc << 12));
    crc = static_cast<uint16_t>(crc ^ ((crc & 0xff) << 5));
  }
  return crc;
}

VectorNavParser::VectorNavParser() : window_(2048) {}

bool VectorNavParser::Next(VectorNavMessage& message) {
  window_.Consume(pending_);
  pending_ = 0;
  for (;;) {
    const std::span<const uint8_t> unread = window_.unread();
    const auto begin = std::find_if(unread.begin(), unread.end(),
                                    [](uint8_t byte) { return byte == '$' || byte == kBinary; });
    window_.Skip(begin - unread.begin());
    const std::span<const uint8_t> bytes(begin, unread.end());
    if (bytes.empty()) {
      return false;
    }
    const Candidate candidate = bytes[0] == '$' ? ExamineText(bytes) : ExamineBinary(bytes);
    if (candidate.kind == Candidate::Kind::kIncomplete) {
      return false;
    }
    if (candidate.kind == Candidate::Kind::kMessage) {
      message = candidate.message;
      pending_ = candidate.size;
      return true;
    }
    bad_messages_ += candidate.kind == Candidate::Kind::kCorrupt ? 1 : 0;
    window_.Skip(1);
  }
}

std::string VectorNavText(absl::string_view text) {
  const std::span bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  return absl::StrFormat("$%s*%02X\r\n", text, Xor(bytes));
}

void AppendVectorNavBinary(uint16_t fields, std::span<const uint8_t> payload, std::vector<uint8_t>& bytes) {
  const size_t begin = bytes.size();
  bytes.insert(bytes.end(), {kBinary, kGroupCommon});
  AppendLittleEndian(fields, bytes);
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  AppendBigEndian(VectorNavCrc(std::span(bytes).subspan(begin + 1)), bytes);
}

std::optional<VectorNavSample> ParseVectorNavSample(const VectorNavMessage& message) {
  if (message.fields != kVnSampleFields) {
    return std::nullopt;
  }
  return VectorNavSample{.time_startup_ns = LoadLittleEndian<uint64_t>(message.payload),
                         .quaternion_xyzw = LoadFloats<4>(message.payload.subspan(8)),
                         .angular_rate_rad_s = LoadFloats<3>(message.payload.subspan(24)),
                         .acceleration_m_s2 = LoadFloats<3>(message.payload.subspan(36))};
}

}  // namespace demorl
