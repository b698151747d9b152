#include "common/robot/drivers/b3m/b3m_line.h"

#include <algorithm>
#include <utility>

namespace demorl::b3m {

Line::Line(ByteStream* stream, const Clock* clock, const Options& options, std::vector<uint8_t> ids)
    : port_(stream, clock, options.baud_rate), echo_(options.echo), ids_(std::move(ids)) {}

bool Line::Ask(const Request& request, std::span<const uint8_t> packet) {
  if (!state().ok()) {
    return false;
  }
  port_.DropStale([this](const Packet& stale) { CountUnasked(stale); });
  const absl::Duration round_trip = WireTime(packet.size() + kMinPacketBytes + request.reply_data_bytes);
  const absl::Duration start = port_.FreeAt();
  if (start + round_trip > request.deadline || !Send(packet)) {
    return false;
  }
  request_ = request;
  waiting_ = true;
  earliest_reply_ = port_.EarliestAnswer(start, round_trip);
  return true;
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
  const auto take = [&](const Packet& packet) {
    if (!IsAwaited(packet)) {
      CountUnasked(packet);
      return false;
    }
    waiting_ = false;
    reply = packet;
    counters_.device_errors += packet.option != 0 ? 1 : 0;
    return true;
  };
  if (port_.Receive(std::min(wait_until, request_.deadline), take)) {
    return Event::kReply;
  }
  if (!state().ok()) {
    GiveUp();
    return Event::kBroken;
  }
  if (!waiting_ || port_.Now() < request_.deadline) {
    return Event::kNothing;
  }
  if (port_.Flush(take)) {
    return Event::kReply;
  }
  GiveUp();
  return Event::kMissing;
}

}  // namespace demorl::b3m
