#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

// The datagrams of the bridge on the leg's Raspberry Pi: doubles, little-endian, nothing else. The Pi
// forwards torques to two moteus controllers and answers each request, to the port it came from, with what
// they measure. Source: the authors' environment of the leg, hardware_env/tracking_env.py.
namespace demorl {

static_assert(std::endian::native == std::endian::little);

inline constexpr int kLegBridgePort = 20001;
inline constexpr size_t kNumLegJoints = 2;

struct LegRequest {
  std::array<double, kNumLegJoints> torque = {};
  // Not 0: the motors are made ready anew; the authors ask so at the start of an episode.
  double reset = 0;
};

struct LegJointState {
  // Of the motor, before the gearing.
  double position_rev = 0;
  double velocity_rev_s = 0;
};
using LegReply = std::array<LegJointState, kNumLegJoints>;

inline constexpr size_t kLegRequestBytes = 24;
inline constexpr size_t kLegReplyBytes = 32;
static_assert(sizeof(LegRequest) == kLegRequestBytes && sizeof(LegReply) == kLegReplyBytes);

template <typename Message>
std::array<uint8_t, sizeof(Message)> EncodeLegMessage(const Message& message) {
  return std::bit_cast<std::array<uint8_t, sizeof(Message)>>(message);
}

// False for a datagram of another size.
template <typename Message>
bool DecodeLegMessage(std::span<const uint8_t> bytes, Message& message) {
  if (bytes.size() != sizeof(message)) {
    return false;
  }
  std::memcpy(&message, bytes.data(), sizeof(message));
  return true;
}

}  // namespace demorl
