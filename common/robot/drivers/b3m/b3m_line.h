#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/robot/drivers/actuator_bus.h"
#include "common/robot/drivers/b3m/b3m_codec.h"
#include "common/robot/transport/byte_stream.h"

namespace demorl::b3m {

// One RS-485 wire with its servos, seen from the host. The wire is half duplex: a request waits for its reply
// or its deadline before the host speaks again. A packet carries no number, so a reply counts as the awaited
// one only if servo, command and length fit, and if it did not come sooner than the wire can carry it.
// Thread-compatible; all methods are real-time safe but the constructor.
class Line {
 public:
  struct Options {
    // For when a reply can be there at the earliest.
    int baud_rate = kDefaultBaudRate;
    // The adapter hands the host its own bytes back.
    bool echo = false;
  };
  struct Request {
    uint8_t id = 0;
    Command command = Command::kRead;
    // Of the reply, without header and sum.
    size_t reply_data_bytes = 0;
    // When to give up; if that is sooner than the wire needs, nothing is sent.
    absl::Duration deadline;
  };
  enum class Event : uint8_t {
    kNothing,
    // `reply` is the awaited one.
    kReply,
    // The request's deadline has passed.
    kMissing,
    // The stream is gone or refuses: see state().
    kBroken,
  };

  // `ids`: the servos on this wire.
  Line(ByteStream* stream, const Clock* clock, const Options& options, std::vector<uint8_t> ids);

  // Sends packets that nobody answers, whole or not at all; false if the stream does not take them.
  bool Send(std::span<const uint8_t> packets);

  // Sends a request; false if it was not sent. What has come unasked until then is thrown away and counted.
  bool Ask(const Request& request, std::span<const uint8_t> packet);

  bool waiting() const { return waiting_; }

  // Takes in what arrives, waiting for it until `wait_until`. `reply` is valid until the next call.
  Event Poll(absl::Duration wait_until, Packet& reply);

  // Ends a wait for a reply, as its deadline does.
  void GiveUp();

  absl::Duration request_deadline() const { return request_.deadline; }
  // Duration of so many bytes on the wire: start bit, 8 bits, stop bit.
  absl::Duration WireTime(size_t num_bytes) const { return byte_time_ * static_cast<double>(num_bytes); }

  BusResult state() const { return state_; }
  BusCounters counters() const;

 private:
  bool SendRest();
  bool IsAwaited(const Packet& packet) const;
  void CountUnasked(const Packet& packet);
  void DropStale();
  IoResult ReadInto(absl::Duration wait_until);
  void Break(const IoResult& result);

  ByteStream* const stream_;
  const Clock* const clock_;
  const Options options_;
  const std::vector<uint8_t> ids_;
  const absl::Duration byte_time_;
  Parser parser_;
  Request request_;
  bool waiting_ = false;
  // When the last byte of the host's has left the wire, and when a reply can be complete.
  absl::Duration wire_free_;
  absl::Duration earliest_reply_;
  // Of a packet that the stream took in part.
  std::array<uint8_t, 4 * kMaxPacketBytes> rest_;
  size_t rest_bytes_ = 0;
  BusResult state_;
  BusCounters counters_;
};

}  // namespace demorl::b3m
