#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/robot/transport/byte_stream.h"

namespace demorl {

// The host's side of a half-duplex wire behind a stream: sends packets whole, and knows when they have left
// the wire. A stream that has closed or failed stays so. Of one thread; all methods are real-time safe.
class HalfDuplexPort {
 public:
  // `clock` is that of the stream.
  HalfDuplexPort(ByteStream* stream, const Clock* clock, int baud_rate);

  // False if the stream takes nothing, or has not yet taken all of what was sent before.
  bool Send(std::span<const uint8_t> packets);

  // As ByteStream::Read.
  IoResult Read(std::span<uint8_t> bytes, absl::Duration wait_until);

  // Duration of so many bytes on the wire: start bit, 8 bits, stop bit.
  absl::Duration WireTime(size_t num_bytes) const { return byte_time_ * static_cast<double>(num_bytes); }

  // When the wire can carry the next byte of the host's: now, or after all that was sent.
  absl::Duration FreeAt() const;

  absl::Duration Now() const { return clock_->Now(); }
  // kOk, kClosed or kFailed.
  const IoResult& state() const { return state_; }

 private:
  bool SendRest();
  bool Check(const IoResult& result);

  ByteStream* const stream_;
  const Clock* const clock_;
  const absl::Duration byte_time_;
  absl::Duration free_at_;
  // Of a packet that the stream took in part: its end would otherwise swallow the next one's start.
  std::array<uint8_t, 4096> rest_;
  size_t rest_bytes_ = 0;
  IoResult state_;
};

}  // namespace demorl
