#include "common/robot/drivers/moteus/moteus_codec.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace demorl {
namespace {

constexpr uint8_t kNop = 0x50;
constexpr uint32_t kNumAddresses = 0x10000;
constexpr uint32_t kMaxRegisters = 0x200;  // more than there are

// What one count of a register's integers is worth [registers.md, "Mappings"], and whether their least value
// is special. Registers that hold whole numbers have neither.
struct Scale {
  double int8 = 1;
  double int16 = 1;
  double int32 = 1;
  bool has_special = false;
};

constexpr Scale kRevolutions = {0.01, 0.0001, 0.00001, true};
constexpr Scale kRevolutionsPerSecond = {0.1, 0.00025, 0.00001, true};
constexpr Scale kRevolutionsPerSecond2 = {0.05, 0.001, 0.00001, true};
constexpr Scale kNewtonMetres = {0.5, 0.01, 0.001, true};
constexpr Scale kAmperes = {1, 0.1, 0.001, true};
constexpr Scale kWatts = {10, 0.05, 0.0001, true};
constexpr Scale kDegreesCelsius = {1, 0.1, 0.001, true};
constexpr Scale kVolts = {0.5, 0.1, 0.001, true};
constexpr Scale kSeconds = {0.01, 0.001, 0.000001, true};
constexpr Scale kShare = {1.0 / 127.0, 1.0 / 32767.0, 1.0 / 2147483647.0, true};

Scale ScaleOf(uint32_t address) {
  using namespace moteus_register;
  switch (address) {
    case kPosition:
    case kAbsolutePosition:
    case kCommandPosition:
    case kCommandStopPosition:
    case kControlPosition:
      return kRevolutions;
    case kVelocity:
    case kCommandVelocity:
    case kCommandVelocityLimit:
    case kControlVelocity:
      return kRevolutionsPerSecond;
    case kCommandAccelerationLimit:
      return kRevolutionsPerSecond2;
    case kTorque:
    case kCommandTorque:
    case kCommandMaxTorque:
      return kNewtonMetres;
    case kQCurrent:
    case kDCurrent:
      return kAmperes;
    case kPower:
      return kWatts;
    case kMotorTemperature:
    case kBoardTemperature:
      return kDegreesCelsius;
    case kVoltage:
      return kVolts;
    case kCommandTimeout:
      return kSeconds;
    case kCommandKpScale:
    case kCommandKdScale:
    case kCommandIlimitScale:
      return kShare;
    default:
      return {};
  }
}

double ScaleAt(const Scale& scale, MoteusResolution resolution) {
  switch (resolution) {
    case MoteusResolution::kInt8:
      return scale.int8;
    case MoteusResolution::kInt16:
      return scale.int16;
    case MoteusResolution::kInt32:
      return scale.int32;
    case MoteusResolution::kFloat:
      return 1;
  }
  return 1;
}

size_t SizeOf(MoteusResolution resolution) {
  switch (resolution) {
    case MoteusResolution::kInt8:
      return 1;
    case MoteusResolution::kInt16:
      return 2;
    default:
      return 4;
  }
}

// Least value of a signed integer of `num_bytes`.
int64_t LeastInteger(size_t num_bytes) { return -(int64_t{1} << (8 * num_bytes - 1)); }

// Cut towards zero and held within plus and minus the greatest value, as the devices do; whole numbers go
// down to the least.
int64_t ToInteger(const MoteusValue& value) {
  const int64_t least = LeastInteger(SizeOf(value.resolution));
  if (!std::isfinite(value.value)) {
    return least;
  }
  const Scale scale = ScaleOf(value.address);
  const double scaled = value.value / ScaleAt(scale, value.resolution);
  const double lower = static_cast<double>(scale.has_special ? least + 1 : least);
  return static_cast<int64_t>(std::clamp(scaled, lower, static_cast<double>(-(least + 1))));
}

}  // namespace

bool MoteusFrameWriter::PutByte(uint8_t byte) {
  if (frame_.size >= CanFrame::kMaxSize) {
    return false;
  }
  frame_.data[frame_.size++] = byte;
  return true;
}

bool MoteusFrameWriter::PutVaruint(uint32_t value) {
  for (; value >= 0x80; value >>= 7) {
    if (!PutByte(static_cast<uint8_t>(value | 0x80))) {
      return false;
    }
  }
  return PutByte(static_cast<uint8_t>(value));
}

bool MoteusFrameWriter::PutValue(const MoteusValue& value) {
  uint32_t bits = value.resolution == MoteusResolution::kFloat
                      ? std::bit_cast<uint32_t>(static_cast<float>(value.value))
                      : static_cast<uint32_t>(ToInteger(value));
  for (size_t i = 0; i < SizeOf(value.resolution); ++i, bits >>= 8) {
    if (!PutByte(static_cast<uint8_t>(bits))) {
      return false;
    }
  }
  return true;
}

bool MoteusFrameWriter::AppendRun(MoteusSubframe kind, std::span<const MoteusValue> values) {
  const auto count = static_cast<uint32_t>(values.size());
  const auto type =
      static_cast<uint8_t>(static_cast<uint8_t>(kind) | static_cast<uint8_t>(values[0].resolution) << 2);
  const bool short_form = count <= 3;
  if (!PutByte(short_form ? static_cast<uint8_t>(type | count) : type) ||
      (!short_form && !PutVaruint(count)) || !PutVaruint(values[0].address)) {
    return false;
  }
  return kind == MoteusSubframe::kRead ||
         std::all_of(values.begin(), values.end(),
                     [this](const MoteusValue& value) { return PutValue(value); });
}

bool MoteusFrameWriter::Append(MoteusSubframe kind, std::span<const MoteusValue> values) {
  const uint8_t size = frame_.size;
  size_t begin = 0;
  while (begin < values.size()) {
    size_t end = begin + 1;
    while (end < values.size() && values[end].resolution == values[begin].resolution &&
           values[end].address == values[end - 1].address + 1) {
      ++end;
    }
    if (!AppendRun(kind, values.subspan(begin, end - begin))) {
      frame_.size = size;
      return false;
    }
    begin = end;
  }
  return true;
}

bool MoteusFrameWriter::AppendError(MoteusSubframe kind, uint32_t address, uint32_t error) {
  const uint8_t size = frame_.size;
  if (PutByte(static_cast<uint8_t>(kind)) && PutVaruint(address) && PutVaruint(error)) {
    return true;
  }
  frame_.size = size;
  return false;
}

void MoteusFrameWriter::Pad() {
  const uint8_t padded = CanFdPayloadSize(frame_.size);
  std::fill(frame_.data.begin() + frame_.size, frame_.data.begin() + padded, kNop);
  frame_.size = padded;
}

bool MoteusFrameReader::TakeByte(uint8_t& byte) {
  if (bytes_.empty()) {
    return false;
  }
  byte = bytes_.front();
  bytes_ = bytes_.subspan(1);
  return true;
}

bool MoteusFrameReader::TakeVaruint(uint32_t& value) {
  uint64_t result = 0;
  for (int shift = 0; shift < 35; shift += 7) {
    uint8_t byte = 0;
    if (!TakeByte(byte)) {
      return false;
    }
    result |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) {
      value = static_cast<uint32_t>(result);
      return result <= std::numeric_limits<uint32_t>::max();
    }
  }
  return false;
}

bool MoteusFrameReader::TakeValue(MoteusValue& value) {
  const size_t num_bytes = SizeOf(value.resolution);
  if (bytes_.size() < num_bytes) {
    return false;
  }
  uint32_t bits = 0;
  for (size_t i = 0; i < num_bytes; ++i) {
    bits |= static_cast<uint32_t>(bytes_[i]) << (8 * i);
  }
  bytes_ = bytes_.subspan(num_bytes);
  if (value.resolution == MoteusResolution::kFloat) {
    value.value = std::bit_cast<float>(bits);
    return true;
  }
  const Scale scale = ScaleOf(value.address);
  const int unused_bits = 32 - 8 * static_cast<int>(num_bytes);
  const int32_t integer = static_cast<int32_t>(bits << unused_bits) >> unused_bits;
  const bool special = scale.has_special && integer == LeastInteger(num_bytes);
  value.value =
      special ? std::numeric_limits<double>::quiet_NaN() : integer * ScaleAt(scale, value.resolution);
  return true;
}

bool MoteusFrameReader::ReadError(MoteusItem& item) {
  item = {.kind = kind_};
  return TakeVaruint(item.register_value.address) && TakeVaruint(item.error);
}

// Reads the head of the next subframe that says something; an error subframe whole, into `item`.
bool MoteusFrameReader::StartSubframe(MoteusItem& item) {
  uint8_t type = kNop;
  while (type == kNop) {
    if (!TakeByte(type)) {
      return false;
    }
  }
  malformed_ = true;  // until all of the head is there
  kind_ = static_cast<MoteusSubframe>(type);
  if (kind_ == MoteusSubframe::kWriteError || kind_ == MoteusSubframe::kReadError) {
    malformed_ = !ReadError(item);
    return !malformed_;
  }
  if (type >= 0x30) {
    return false;
  }
  kind_ = static_cast<MoteusSubframe>(type & 0xf0);
  resolution_ = static_cast<MoteusResolution>((type >> 2) & 3);
  remaining_ = type & 3;
  if ((remaining_ == 0 && !TakeVaruint(remaining_)) || !TakeVaruint(address_) || remaining_ > kMaxRegisters ||
      uint64_t{address_} + remaining_ > kNumAddresses) {
    remaining_ = 0;
    return false;
  }
  malformed_ = false;
  return true;
}

bool MoteusFrameReader::Next(MoteusItem& item) {
  if (malformed_) {
    return false;
  }
  while (remaining_ == 0) {
    if (!StartSubframe(item)) {
      return false;
    }
    if (kind_ == MoteusSubframe::kWriteError || kind_ == MoteusSubframe::kReadError) {
      return true;
    }
  }
  item = {.kind = kind_, .register_value = {.address = address_, .resolution = resolution_}};
  if (kind_ != MoteusSubframe::kRead && !TakeValue(item.register_value)) {
    malformed_ = true;
    remaining_ = 0;
    return false;
  }
  ++address_;
  --remaining_;
  return true;
}

}  // namespace demorl
