#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "absl/time/time.h"
#include "common/robot/transport/byte_stream.h"

namespace demorl {

// A CAN-FD frame. Identifiers above 0x7ff travel as extended ones.
struct CanFrame {
  static constexpr size_t kMaxSize = 64;

  uint32_t id = 0;
  uint8_t size = 0;
  std::array<uint8_t, kMaxSize> data = {};

  std::span<const uint8_t> payload() const { return {data.data(), size}; }
};

// The smallest payload of a CAN-FD frame that holds `size` <= 64 bytes.
inline uint8_t CanFdPayloadSize(uint8_t size) {
  if (size <= 8) {
    return size;
  }
  for (const uint8_t step : {12, 16, 20, 24, 32, 48}) {
    if (size <= step) {
      return step;
    }
  }
  return CanFrame::kMaxSize;
}

// What went wrong below the frames since a port was opened.
struct CanPortCounters {
  // Messages with a wrong checksum or of an unknown form.
  uint64_t bad_messages = 0;
  // Bytes skipped while looking for the next message.
  uint64_t skipped_bytes = 0;
  // Errors that the adapter reported.
  uint64_t adapter_errors = 0;
};

// A way to a CAN-FD bus. Of one thread. Real-time safe, all of it.
class CanPort {
 public:
  virtual ~CanPort() = default;

  // Without waiting; kTimedOut, and nothing of the frame sent, if the way is full.
  virtual IoResult Send(const CanFrame& frame) = 0;

  // Waits for the next frame until `deadline`, on RealClock's time line; one in the past only looks.
  virtual IoResult Receive(CanFrame& frame, absl::Duration deadline) = 0;

  virtual CanPortCounters counters() const = 0;
};

}  // namespace demorl
