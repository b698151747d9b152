#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/robot/drivers/actuator_bus.h"
#include "common/robot/drivers/b3m/b3m_codec.h"
#include "common/robot/drivers/packet_port.h"

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

  // Sends packets that nobody answers; false if the stream does not take them.
  bool Send(std::span<const uint8_t> packets) { return port_.Send(packets); }

  // Sends a request; false if it was not sent. What has come unasked until then is thrown away and counted.
  bool Ask(const Request& request, std::span<const uint8_t> packet);

  bool waiting() const { return waiting_; }

  // Takes in what arrives, waiting for it until `wait_until`. `reply` is valid until the next call.
  Event Poll(absl::Duration wait_until, Packet& reply);

  // Ends a wait for a reply, as its deadline does.
  void GiveUp();

  absl::Duration WireTime(size_t num_bytes) const { return port_.WireTime(num_bytes); }

  // kOk, kClosed or kFailed.
  BusResult state() const { return port_.state(); }
  BusCounters counters() const { return port_.Total(counters_); }

 private:
  bool IsAwaited(const Packet& packet) const;
  void CountUnasked(const Packet& packet);

  PacketPort<Parser> port_;
  const bool echo_;
  const std::vector<uint8_t> ids_;
  Request request_;
  bool waiting_ = false;
  // When a reply can be complete at the earliest.
  absl::Duration earliest_reply_;
  BusCounters counters_;
};

}  // namespace demorl::b3m
