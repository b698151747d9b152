#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "common/robot/transport/byte_window.h"

namespace demorl {

// The two protocols that a VectorNav sensor mixes on one wire (VN-100 User Manual, chapters "Communication
// interface" and "User configurable binary output messages"):
//   text    $VNxxx,...*XX\r\n    XX: XOR of the characters between $ and *, or four digits of CRC-16
//   binary  FA, groups, 16 bits of fields for each group, payload, CRC-16; little-endian but for the CRC
// This project uses group 1 ("common") alone.

// CRC-16 CCITT (polynomial 1021, start 0), MSB first.
uint16_t VectorNavCrc(std::span<const uint8_t> bytes);

// Fields of group 1 that the driver asks for; the payload holds them in this order.
enum VectorNavField : uint16_t {
  kVnTimeStartup = 0x0001,   // uint64, ns
  kVnQuaternion = 0x0010,    // x y z w, sensor (x forward, y right, z down) to north-east-down
  kVnAngularRate = 0x0020,   // rad/s
  kVnAcceleration = 0x0100,  // m/s^2, specific force
};
constexpr uint16_t kVnSampleFields = kVnTimeStartup | kVnQuaternion | kVnAngularRate | kVnAcceleration;

struct VectorNavMessage {
  // Text between $ and *, or empty if the message is binary. Valid until the parser's next call.
  absl::string_view text;
  // False for text that ends in *XX, which hosts may send to a sensor.
  bool has_checksum = true;
  uint16_t fields = 0;
  // Valid until the parser's next call.
  std::span<const uint8_t> payload;
};

// As XbusParser, for both protocols.
class VectorNavParser {
 public:
  VectorNavParser();

  ByteWindow& window() { return window_; }
  const ByteWindow& window() const { return window_; }

  bool Next(VectorNavMessage& message);

  uint64_t bad_messages() const { return bad_messages_; }

 private:
  ByteWindow window_;
  size_t pending_ = 0;
  uint64_t bad_messages_ = 0;
};

// "$<text>*XX\r\n".
std::string VectorNavText(absl::string_view text);

// Appends a binary message of group 1.
void AppendVectorNavBinary(uint16_t fields, std::span<const uint8_t> payload, std::vector<uint8_t>& bytes);

struct VectorNavSample {
  uint64_t time_startup_ns = 0;
  std::array<double, 4> quaternion_xyzw = {};
  std::array<double, 3> angular_rate_rad_s = {};
  std::array<double, 3> acceleration_m_s2 = {};
};

// nullopt unless the fields are kVnSampleFields. Real-time safe.
std::optional<VectorNavSample> ParseVectorNavSample(const VectorNavMessage& message);

}  // namespace demorl
