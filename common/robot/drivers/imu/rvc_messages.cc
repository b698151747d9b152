#include "common/robot/drivers/imu/rvc_messages.h"

#include <algorithm>
#include <numeric>
#include <span>

#include "common/robot/drivers/imu/wire_numbers.h"

namespace demorl {
namespace {

constexpr uint8_t kHeader = 0xaa;

uint8_t Sum(std::span<const uint8_t> bytes) {
  return static_cast<uint8_t>(std::accumulate(bytes.begin(), bytes.end(), 0));
}

}  // namespace

bool RvcParser::Next(RvcMessage& message) {
  for (;;) {
    const std::span<const uint8_t> unread = window_.unread();
    const size_t garbage = std::find(unread.begin(), unread.end(), kHeader) - unread.begin();
    window_.Skip(garbage);
    const std::span<const uint8_t> bytes = unread.subspan(garbage);
    const bool begins = bytes.size() < 2 || bytes[1] == kHeader;
    if (begins && bytes.size() < kRvcMessageBytes) {
      return false;
    }
    if (begins && Sum(bytes.subspan(2, 16)) == bytes[18]) {
      const auto word = [bytes](size_t i) {
        return static_cast<int16_t>(LoadLittleEndian<uint16_t>(bytes.subspan(i)));
      };
      message = {.index = bytes[2], .yaw = word(3), .pitch = word(5), .roll = word(7)};
      message.acceleration = {word(9), word(11), word(13)};
      window_.Consume(kRvcMessageBytes);
      return true;
    }
    bad_messages_ += begins ? 1 : 0;
    window_.Skip(1);
  }
}

void AppendRvcMessage(const RvcMessage& message, std::vector<uint8_t>& bytes) {
  bytes.insert(bytes.end(), {kHeader, kHeader, message.index});
  for (const int16_t word : {message.yaw, message.pitch, message.roll, message.acceleration[0],
                             message.acceleration[1], message.acceleration[2]}) {
    AppendLittleEndian(static_cast<uint16_t>(word), bytes);
  }
  bytes.insert(bytes.end(), 3, 0);
  bytes.push_back(Sum(std::span(bytes).last(16)));
}

}  // namespace demorl
