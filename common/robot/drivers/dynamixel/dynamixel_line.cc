#include "common/robot/drivers/dynamixel/dynamixel_line.h"

#include <algorithm>
#include <array>

namespace demorl::dxl {
namespace {

size_t FastStatusBytes(const Line::Request& request) {
  return kFastHeaderBytes + request.ids.size() * (request.data_bytes + kFastBlockBytes);
}

}  // namespace

Line::Line(ByteStream* stream, const Clock* clock, int baud_rate, bool echo, std::span<const uint8_t> ids)
    : port_(stream, clock, baud_rate), echo_(echo), ids_(ids) {}

absl::Duration Line::RoundTrip(const Request& request, size_t packet_bytes) const {
  const size_t status_bytes = kMinStatusBytes + request.data_bytes;
  return port_.WireTime(packet_bytes + (request.answer == Answer::kFast ? FastStatusBytes(request)
                                                                        : request.ids.size() * status_bytes));
}

bool Line::Ask(const Request& request, std::span<const uint8_t> packet) {
  if (!state().ok()) {
    return false;
  }
  port_.DropStale([this](const Packet& stale) { CountUnasked(stale); });
  const absl::Duration start = port_.FreeAt();
  if (start + RoundTrip(request, packet.size()) > request.deadline || !Send(packet)) {
    return false;
  }
  request_ = request;
  waiting_ = true;
  next_ = 0;
  blocks_ = {};
  const absl::Duration first = request.answer == Answer::kEach
                                   ? port_.WireTime(packet.size() + kMinStatusBytes + request.data_bytes)
                                   : RoundTrip(request, packet.size());
  earliest_answer_ = port_.EarliestAnswer(start, first);
  return true;
}

void Line::CountUnasked(const Packet& packet) {
  if (!packet.is_status()) {
    counters_.bad_messages += echo_ ? 0 : 1;
  } else if (packet.id == kBroadcastId || std::find(ids_.begin(), ids_.end(), packet.id) != ids_.end()) {
    ++counters_.late_or_duplicate_replies;
  } else {
    ++counters_.bad_messages;
  }
}

void Line::GiveUp() {
  if (waiting_) {
    waiting_ = false;
    counters_.missing_replies += request_.ids.size() - next_;
  }
}

// The devices before this one have not answered and do not any more.
void Line::Accept(size_t index, uint8_t error) {
  counters_.missing_replies += index - next_;
  counters_.device_errors += error != 0 ? 1 : 0;
  next_ = index + 1;
  waiting_ = next_ < request_.ids.size();
}

// Whether `raw` is, or begins, the fast status that is awaited.
bool Line::BeginBlocks(std::span<const uint8_t> raw) {
  const size_t size = FastStatusBytes(request_);
  if (request_.answer != Answer::kFast || !blocks_.empty() || raw.size() < kFastHeaderBytes ||
      raw.size() > size || LoadU16(raw, 5) + 7u != size || raw[4] != kBroadcastId ||
      raw[7] != static_cast<uint8_t>(Instruction::kStatus) || port_.Now() < earliest_answer_) {
    return false;
  }
  blocks_ = raw;
  return true;
}

bool Line::TakeBlock(Status& status) {
  while (waiting_ && !blocks_.empty()) {
    const std::optional<FastBlock> block = ReadFastBlock(blocks_, next_, request_.data_bytes);
    if (!block || block->id != request_.ids[next_]) {
      blocks_ = {};
      return false;
    }
    status = {next_, block->error, block->data};
    Accept(next_, block->error);
    return true;
  }
  return false;
}

bool Line::Take(const Packet& packet, Status& status) {
  if (waiting_ && packet.is_status() && BeginBlocks(packet.raw)) {
    return TakeBlock(status);
  }
  const auto begin = request_.ids.begin() + static_cast<ptrdiff_t>(next_);
  const auto found = waiting_ ? std::find(begin, request_.ids.end(), packet.id) : request_.ids.end();
  // A device that refuses sends its error alone.
  const bool fits = packet.parameters.size() == 1 + request_.data_bytes ||
                    (packet.parameters.size() == 1 && (packet.parameters[0] & ~kAlert) != 0);
  if (!waiting_ || request_.answer == Answer::kFast || !packet.is_status() || found == request_.ids.end() ||
      !fits || port_.Now() < earliest_answer_) {
    CountUnasked(packet);
    return false;
  }
  status = {static_cast<size_t>(found - request_.ids.begin()), packet.parameters[0],
            packet.parameters.subspan(1)};
  Accept(status.index, status.error);
  return true;
}

Line::Event Line::Poll(absl::Duration wait_until, Status& status) {
  if (TakeBlock(status)) {
    return Event::kStatus;
  }
  const auto take = [&](const Packet& packet) { return Take(packet, status); };
  if (port_.Receive(std::min(wait_until, request_.deadline), take)) {
    return Event::kStatus;
  }
  if (!state().ok()) {
    GiveUp();
    return Event::kBroken;
  }
  if (!waiting_ || port_.Now() < request_.deadline) {
    return Event::kNothing;
  }
  // Of a fast status the part before a silent device; or what stands behind noise like a packet's start.
  if ((BeginBlocks(port_.parser().Unfinished()) && TakeBlock(status)) || port_.Flush(take)) {
    return Event::kStatus;
  }
  GiveUp();
  return Event::kMissing;
}

}  // namespace demorl::dxl
