#include "common/robot/drivers/b3m/b3m_line.h"

#include <algorithm>
#include <utility>

namespace demorl::b3m {
namespace {

// A servo's clock may run fast by some per cent.
constexpr double kEarliestShare = 0.8;
constexpr int kMaxStaleReads = 16;

}  // namespace

Line::Line(ByteStream* stream, const Clock* clock, const Options& options, std::vector<uint8_t> ids)
    : stream_(stream),
      clock_(clock),
      options_(options),
      ids_(std::move(ids)),
      byte_time_(absl::Seconds(10.0 / options.baud_rate)) {}

void Line::Break(const IoResult& result) {
  const bool closed = result.code == IoResult::Code::kClosed;
  state_ = {closed ? BusResult::Code::kClosed : BusResult::Code::kFailed, result.error_number};
}

// Finishes a packet that was taken in part: its end would otherwise swallow the next one's start.
bool Line::SendRest() {
  if (rest_bytes_ == 0) {
    return true;
  }
  const IoResult result = stream_->Write(std::span(rest_).first(rest_bytes_));
  if (!result.ok() && result.code != IoResult::Code::kTimedOut) {
    Break(result);
    return false;
  }
  std::copy(rest_.begin() + result.num_bytes, rest_.begin() + rest_bytes_, rest_.begin());
  rest_bytes_ -= result.num_bytes;
  return rest_bytes_ == 0;
}

bool Line::Send(std::span<const uint8_t> packets) {
  if (packets.size() > rest_.size() || !state_.ok() || !SendRest()) {
    return false;
  }
  const absl::Duration start = std::max(clock_->Now(), wire_free_);
  const IoResult result = stream_->Write(packets);
  if (result.code == IoResult::Code::kTimedOut) {
    return false;
  }
  if (!result.ok()) {
    Break(result);
    return false;
  }
  const std::span<const uint8_t> rest = packets.subspan(result.num_bytes);
  std::copy(rest.begin(), rest.end(), rest_.begin());
  rest_bytes_ = rest.size();
  wire_free_ = start + WireTime(packets.size());
  return true;
}

bool Line::Ask(const Request& request, std::span<const uint8_t> packet) {
  if (!state_.ok()) {
    return false;
  }
  DropStale();
  const absl::Duration reply_time = WireTime(kMinPacketBytes + request.reply_data_bytes);
  const absl::Duration start = std::max(clock_->Now(), wire_free_);
  if (start + WireTime(packet.size()) + reply_time > request.deadline || !Send(packet)) {
    return false;
  }
  request_ = request;
  waiting_ = true;
  earliest_reply_ = start + kEarliestShare * (wire_free_ - start + reply_time);
  return true;
}

void Line::DropStale() {
  // Bounded, as a babbling device may send faster than this reads.
  for (int i = 0; i < kMaxStaleReads && ReadInto(absl::ZeroDuration()).ok(); ++i) {
    while (const std::optional<Packet> packet = parser_.Next()) {
      CountUnasked(*packet);
    }
  }
  while (const std::optional<Packet> packet = parser_.Flush()) {
    CountUnasked(*packet);
  }
}

IoResult Line::ReadInto(absl::Duration wait_until) {
  std::array<uint8_t, 512> bytes;
  const IoResult result = stream_->Read(bytes, wait_until);
  if (result.ok()) {
    parser_.Push(std::span(bytes).first(result.num_bytes));
  } else if (result.code != IoResult::Code::kTimedOut) {
    Break(result);
  }
  return result;
}

bool Line::IsAwaited(const Packet& packet) const {
  return waiting_ && packet.is_reply() && packet.id() == request_.id &&
         packet.command == (static_cast<uint8_t>(request_.command) | kReplyBit) &&
         packet.data().size() == request_.reply_data_bytes && clock_->Now() >= earliest_reply_;
}

void Line::CountUnasked(const Packet& packet) {
  if (!packet.is_reply()) {
    counters_.bad_messages += options_.echo ? 0 : 1;
  } else if (std::find(ids_.begin(), ids_.end(), packet.id()) != ids_.end()) {
    ++counters_.late_or_duplicate_replies;
  } else {
    ++counters_.bad_messages;
  }
}

void Line::GiveUp() {
  if (waiting_) {
    waiting_ = false;
    ++counters_.missing_replies;
  }
}

Line::Event Line::Poll(absl::Duration wait_until, Packet& reply) {
  const auto take = [&](const std::optional<Packet>& packet) {
    if (!IsAwaited(*packet)) {
      CountUnasked(*packet);
      return false;
    }
    waiting_ = false;
    reply = *packet;
    counters_.device_errors += packet->option != 0 ? 1 : 0;
    return true;
  };
  const absl::Duration until = std::min(wait_until, request_.deadline);
  IoResult result;
  do {
    result = ReadInto(until);
    while (const std::optional<Packet> packet = parser_.Next()) {
      if (take(packet)) {
        return Event::kReply;
      }
    }
  } while (result.ok() && clock_->Now() < until);
  if (!state_.ok()) {
    GiveUp();
    return Event::kBroken;
  }
  if (!waiting_ || clock_->Now() < request_.deadline) {
    return Event::kNothing;
  }
  // The reply may stand behind noise that looked like the start of something longer.
  while (const std::optional<Packet> packet = parser_.Flush()) {
    if (take(packet)) {
      return Event::kReply;
    }
  }
  GiveUp();
  return Event::kMissing;
}

BusCounters Line::counters() const {
  BusCounters counters = counters_;
  counters.bad_messages += parser_.bad_sums();
  counters.skipped_bytes += parser_.skipped_bytes();
  return counters;
}

}  // namespace demorl::b3m
