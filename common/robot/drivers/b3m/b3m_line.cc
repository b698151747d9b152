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
    : port_(stream, clock, options.baud_rate), echo_(options.echo), ids_(std::move(ids)) {}

bool Line::Ask(const Request& request, std::span<const uint8_t> packet) {
  if (!port_.state().ok()) {
    return false;
  }
  DropStale();
  const absl::Duration round_trip = WireTime(packet.size() + kMinPacketBytes + request.reply_data_bytes);
  const absl::Duration start = port_.FreeAt();
  if (start + round_trip > request.deadline || !Send(packet)) {
    return false;
  }
  request_ = request;
  waiting_ = true;
  earliest_reply_ = start + kEarliestShare * round_trip;
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
  const IoResult result = port_.Read(bytes, wait_until);
  if (result.ok()) {
    parser_.Push(std::span(bytes).first(result.num_bytes));
  }
  return result;
}

bool Line::IsAwaited(const Packet& packet) const {
  return waiting_ && packet.is_reply() && packet.id() == request_.id &&
         packet.command == (static_cast<uint8_t>(request_.command) | kReplyBit) &&
         packet.data().size() == request_.reply_data_bytes && port_.Now() >= earliest_reply_;
}

void Line::CountUnasked(const Packet& packet) {
  if (!packet.is_reply()) {
    counters_.bad_messages += echo_ ? 0 : 1;
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
  } while (result.ok() && port_.Now() < until);
  if (!port_.state().ok()) {
    GiveUp();
    return Event::kBroken;
  }
  if (!waiting_ || port_.Now() < request_.deadline) {
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
