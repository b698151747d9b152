#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/robot/transport/byte_window.h"

namespace demorl {

// The Xbus protocol of Xsens MTi sensors: FA FF, message id, length, data, checksum; big-endian. Source: MT
// Low Level Communication Protocol Documentation, chapters "Message structure" and "MTData2".

enum class XbusId : uint8_t {
  kReqDeviceId = 0x00,
  kGoToMeasurement = 0x10,
  kGoToConfig = 0x30,
  kMtData2 = 0x36,
  kReset = 0x40,
  kError = 0x42,
  // Without data a question; the answer, one higher, lists what the device has really set.
  kOutputConfiguration = 0xc0,
};
// A device acknowledges a message by this id.
constexpr uint8_t Acknowledgement(XbusId id) { return static_cast<uint8_t>(id) + 1; }

// Items of MTData2, as float32 in the ENU frame where that applies: the low four bits of the id are zero.
enum class XbusItem : uint16_t {
  kPacketCounter = 0x1020,   // uint16, one per sample, wraps
  kSampleTimeFine = 0x1060,  // uint32, 10 kHz, wraps
  kQuaternion = 0x2010,      // w x y z, sensor to world
  kAcceleration = 0x4020,    // m/s^2, specific force
  kRateOfTurn = 0x8020,      // rad/s
  kStatusWord = 0xe020,
};
// Asked of items that come with every sample.
constexpr uint16_t kXbusEverySample = 0xffff;

struct XbusMessage {
  uint8_t id = 0;
  // Valid until the parser's next call.
  std::span<const uint8_t> data;
};

// Finds messages in any pieces of a stream; after garbage or a wrong checksum it goes on at the next byte
// that can begin one. Real-time safe but for construction.
class XbusParser {
 public:
  XbusParser();

  ByteWindow& window() { return window_; }
  const ByteWindow& window() const { return window_; }

  // The next whole message, if there is one.
  bool Next(XbusMessage& message);

  // Whole messages with a wrong checksum.
  uint64_t bad_messages() const { return bad_messages_; }

 private:
  ByteWindow window_;
  // Length of the message returned last, taken off at the next call.
  size_t pending_ = 0;
  uint64_t bad_messages_ = 0;
};

// Appends a message of at most 254 bytes of data.
void AppendXbusMessage(uint8_t id, std::span<const uint8_t> data, std::vector<uint8_t>& bytes);

struct XbusSample {
  std::optional<uint16_t> packet_counter;
  std::optional<std::array<double, 4>> quaternion;
  std::optional<std::array<double, 3>> acceleration_m_s2;
  std::optional<std::array<double, 3>> rate_of_turn_rad_s;
};

// The items of an MTData2 message that this project uses; others are passed over. nullopt if the items do not
// fill the message or one that is used has another size or format than float32. Real-time safe.
std::optional<XbusSample> ParseMtData2(std::span<const uint8_t> data);

}  // namespace demorl
