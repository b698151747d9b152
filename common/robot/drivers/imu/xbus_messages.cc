#include "common/robot/drivers/imu/xbus_messages.h"

#include <algorithm>
#include <numeric>

#include "common/base/check.h"
#include "common/robot/drivers/imu/wire_numbers.h"

namespace demorl {
namespace {

constexpr uint8_t kPreamble = 0xfa;
// A sensor that is alone on its wire.
constexpr uint8_t kBusId = 0xff;
constexpr uint8_t kExtendedLength = 0xff;
// "A message holds at most 2048 bytes of data".
constexpr size_t kMaxData = 2048;
constexpr size_t kMaxHeader = 6;

struct Frame {
  size_t header = 0;
  size_t data = 0;
  size_t size() const { return header + data + 1; }
};

// The layout that the first bytes announce; nullopt until they are all there, a frame without header if no
// message begins so. `bytes` begins with the preamble.
std::optional<Frame> Announced(std::span<const uint8_t> bytes) {
  if (bytes.size() >= 2 && bytes[1] != kBusId) {
    return Frame{};
  }
  if (bytes.size() < 4) {
    return std::nullopt;
  }
  if (bytes[3] != kExtendedLength) {
    return Frame{.header = 4, .data = bytes[3]};
  }
  if (bytes.size() < kMaxHeader) {
    return std::nullopt;
  }
  const size_t length = LoadBigEndian<uint16_t>(bytes.subspan(4));
  return length > kMaxData ? Frame{} : Frame{.header = kMaxHeader, .data = length};
}

// All bytes after the preamble, the checksum among them, add up to zero.
bool ChecksumHolds(std::span<const uint8_t> message) {
  return std::accumulate(message.begin() + 1, message.end(), uint8_t{0},
                         [](uint8_t sum, uint8_t byte) { return static_cast<uint8_t>(sum + byte); }) == 0;
}

template <size_t kSize>
std::optional<std::array<double, kSize>> ParseFloats(std::span<const uint8_t> data) {
  std::array<double, kSize> values;
  if (data.size() != kSize * sizeof(float)) {
    return std::nullopt;
  }
  for (size_t i = 0; i < kSize; ++i) {
    values[i] = FloatOf(LoadBigEndian<uint32_t>(data.subspan(i * sizeof(float))));
  }
  return values;
}

// False if the item is one that is used, and malformed.
bool ParseItem(uint16_t id, std::span<const uint8_t> data, XbusSample& sample) {
  // The format, float32 or other, stands in the low bits; it shows in the size as well.
  switch (static_cast<XbusItem>(id & 0xfff0)) {
    case XbusItem::kPacketCounter:
      if (data.size() == sizeof(uint16_t)) {
        sample.packet_counter = LoadBigEndian<uint16_t>(data);
      }
      return sample.packet_counter.has_value();
    case XbusItem::kQuaternion:
      sample.quaternion = ParseFloats<4>(data);
      return id == static_cast<uint16_t>(XbusItem::kQuaternion) && sample.quaternion.has_value();
    case XbusItem::kAcceleration:
      sample.acceleration_m_s2 = ParseFloats<3>(data);
      return id == static_cast<uint16_t>(XbusItem::kAcceleration) && sample.acceleration_m_s2.has_value();
    case XbusItem::kRateOfTurn:
      sample.rate_of_turn_rad_s = ParseFloats<3>(data);
      return id == static_cast<uint16_t>(XbusItem::kRateOfTurn) && sample.rate_of_turn_rad_s.has_value();
    default:
      return true;
  }
}

}  // namespace

XbusParser::XbusParser() : window_(2 * (kMaxHeader + kMaxData + 1)) {}

bool XbusParser::Next(XbusMessage& message) {
  window_.Consume(pending_);
  pending_ = 0;
  for (;;) {
    const std::span<const uint8_t> unread = window_.unread();
    const size_t garbage = std::find(unread.begin(), unread.end(), kPreamble) - unread.begin();
    window_.Skip(garbage);
    const std::span<const uint8_t> bytes = unread.subspan(garbage);
    const std::optional<Frame> frame = bytes.empty() ? std::nullopt : Announced(bytes);
    if (!frame.has_value() || (frame->header > 0 && bytes.size() < frame->size())) {
      return false;
    }
    if (frame->header > 0 && ChecksumHolds(bytes.first(frame->size()))) {
      message = {.id = bytes[2], .data = bytes.subspan(frame->header, frame->data)};
      pending_ = frame->size();
      return true;
    }
    bad_messages_ += frame->header > 0 ? 1 : 0;
    window_.Skip(1);
  }
}

void AppendXbusMessage(uint8_t id, std::span<const uint8_t> data, std::vector<uint8_t>& bytes) {
  DEMORL_CHECK(data.size() < kExtendedLength);
  const size_t begin = bytes.size();
  bytes.insert(bytes.end(), {kPreamble, kBusId, id, static_cast<uint8_t>(data.size())});
  bytes.insert(bytes.end(), data.begin(), data.end());
  const int sum = std::accumulate(bytes.begin() + begin + 1, bytes.end(), 0);
  bytes.push_back(static_cast<uint8_t>(-sum));
}

std::optional<XbusSample> ParseMtData2(std::span<const uint8_t> data) {
  XbusSample sample;
  while (!data.empty()) {
    if (data.size() < 3 || data.size() < 3u + data[2]) {
      return std::nullopt;
    }
    const uint16_t id = LoadBigEndian<uint16_t>(data);
    if (!ParseItem(id, data.subspan(3, data[2]), sample)) {
      return std::nullopt;
    }
    data = data.subspan(3 + data[2]);
  }
  return sample;
}

}  // namespace demorl
