#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/time/time.h"

namespace demorl {

// What one call on a stream came to. Carries no message: it is made inside control loops.
struct IoResult {
  enum class Code : uint8_t {
    kOk,
    // Nothing could be moved in time; trying again may succeed.
    kTimedOut,
    // The other end is gone: unplugged, closed, or never there. The stream stays so.
    kClosed,
    // The operating system refused; `error_number` says why.
    kFailed,
  };
  Code code = Code::kOk;
  size_t num_bytes = 0;
  int error_number = 0;

  bool ok() const { return code == Code::kOk; }
};

// A stream of bytes to a device, in both directions: a serial port, an end of a pseudo-terminal, a fake. No
// message boundaries: a read may return any piece of what was written. Of one thread. All methods are
// real-time safe: no allocation, no lock, no log.
class ByteStream {
 public:
  virtual ~ByteStream() = default;

  // Takes what fits into the send buffer without waiting; kTimedOut if that is nothing. A short write is no
  // error: `num_bytes` says how much was taken.
  virtual IoResult Write(std::span<const uint8_t> bytes) = 0;

  // Waits for the first byte until `deadline` (time since the origin of RealClock), then returns all that is
  // there and fits. A deadline in the past only looks.
  virtual IoResult Read(std::span<uint8_t> bytes, absl::Duration deadline) = 0;

  // Throws away what has been received and not read.
  virtual void DiscardInput() = 0;
};

}  // namespace demorl
