#include "common/robot/transport/half_duplex_port.h"

#include <algorithm>

namespace demorl {

HalfDuplexPort::HalfDuplexPort(ByteStream* stream, const Clock* clock, int baud_rate)
    : stream_(stream), clock_(clock), byte_time_(absl::Seconds(10.0 / baud_rate)) {}

absl::Duration HalfDuplexPort::FreeAt() const { return std::max(clock_->Now(), free_at_); }

// False, and remembered, if the stream is of no use any more.
bool HalfDuplexPort::Check(const IoResult& result) {
  if (result.code == IoResult::Code::kClosed || result.code == IoResult::Code::kFailed) {
    state_ = result;
  }
  return state_.ok();
}

bool HalfDuplexPort::SendRest() {
  if (rest_bytes_ == 0) {
    return true;
  }
  const IoResult result = stream_->Write(std::span(rest_).first(rest_bytes_));
  if (!Check(result)) {
    return false;
  }
  std::copy(rest_.begin() + result.num_bytes, rest_.begin() + rest_bytes_, rest_.begin());
  rest_bytes_ -= result.num_bytes;
  return rest_bytes_ == 0;
}

bool HalfDuplexPort::Send(std::span<const uint8_t> packets) {
  if (packets.size() > rest_.size() || !state_.ok() || !SendRest()) {
    return false;
  }
  const absl::Duration start = FreeAt();
  const IoResult result = stream_->Write(packets);
  if (!Check(result) || !result.ok()) {
    return false;
  }
  const std::span<const uint8_t> rest = packets.subspan(result.num_bytes);
  std::copy(rest.begin(), rest.end(), rest_.begin());
  rest_bytes_ = rest.size();
  free_at_ = start + WireTime(packets.size());
  return true;
}

IoResult HalfDuplexPort::Read(std::span<uint8_t> bytes, absl::Duration wait_until) {
  const IoResult result = stream_->Read(bytes, wait_until);
  Check(result);
  return result;
}

}  // namespace demorl
