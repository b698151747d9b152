#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "common/robot/transport/byte_window.h"

namespace demorl {

// The UART-RVC mode of the BNO08x (BNO08X data sheet, chapter "UART-RVC"): 19 bytes at 100 Hz and 115200
// baud, little-endian: AA AA, index, yaw, pitch, roll, acceleration, 3 reserved bytes, sum of the bytes from
// the index on.
constexpr size_t kRvcMessageBytes = 19;

struct RvcMessage {
  uint8_t index = 0;
  // 0.01 degree; the sensor's axes in the world are Rz(yaw) Rx(pitch) Ry(roll).
  int16_t yaw = 0;
  int16_t pitch = 0;
  int16_t roll = 0;
  // Specific force along the sensor's axes, in 0.001 g.
  std::array<int16_t, 3> acceleration = {};
};

// As XbusParser.
class RvcParser {
 public:
  RvcParser() : window_(64 * kRvcMessageBytes) {}

  ByteWindow& window() { return window_; }
  const ByteWindow& window() const { return window_; }

  bool Next(RvcMessage& message);

  uint64_t bad_messages() const { return bad_messages_; }

 private:
  ByteWindow window_;
  uint64_t bad_messages_ = 0;
};

void AppendRvcMessage(const RvcMessage& message, std::vector<uint8_t>& bytes);

}  // namespace demorl
