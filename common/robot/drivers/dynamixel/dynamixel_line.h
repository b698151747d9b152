#pragma once

#include <cstdint>
#include <span>

#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/robot/drivers/actuator_bus.h"
#include "common/robot/drivers/dynamixel/dynamixel_codec.h"
#include "common/robot/drivers/packet_port.h"

namespace demorl::dxl {

// One wire with its devices, seen from the host: one request at a time, answered by one device or by several.
// A packet carries no number, so a status counts as the awaited one only if id and length fit, and if it did
// not come sooner than the wire can carry it. Thread-compatible; real-time safe but for the constructor.
class Line {
 public:
  enum class Answer : uint8_t {
    kOne,   // a status
    kEach,  // a status of each, in order (sync read)
    kFast,  // one status of all (fast sync read)
  };
  struct Request {
    Answer answer = Answer::kOne;
    // Who answers, in order; must outlive the request.
    std::span<const uint8_t> ids;
    // Of each.
    size_t data_bytes = 0;
    // When to give up; if that is sooner than the wire needs, nothing is sent.
    absl::Duration deadline;
  };
  enum class Event : uint8_t {
    kNothing,
    // `status` is the next awaited one; waiting() says whether more are.
    kStatus,
    // The request's deadline has passed; who has not answered does not any more.
    kMissing,
    // The stream is gone or refuses: see state().
    kBroken,
  };
  struct Status {
    // Into the request's ids.
    size_t index = 0;
    uint8_t error = 0;
    std::span<const uint8_t> data;
  };

  // `ids`: the devices on this wire; must outlive the line.
  Line(ByteStream* stream, const Clock* clock, int baud_rate, bool echo, std::span<const uint8_t> ids);

  // Sends packets that nobody answers; false if the stream does not take them.
  bool Send(std::span<const uint8_t> packets) { return port_.Send(packets); }

  // Sends a request; false if it was not sent. What has come unasked until then is thrown away and counted.
  bool Ask(const Request& request, std::span<const uint8_t> packet);

  bool waiting() const { return waiting_; }

  // Takes in what arrives, waiting for it until `wait_until`. `status` is valid until the next call.
  Event Poll(absl::Duration wait_until, Status& status);

  // Ends a wait for answers, as its deadline does.
  void GiveUp();

  // What a request and its answers take on the wire.
  absl::Duration RoundTrip(const Request& request, size_t packet_bytes) const;

  // kOk, kClosed or kFailed.
  BusResult state() const { return port_.state(); }
  BusCounters counters() const { return port_.Total(counters_); }

 private:
  bool Take(const Packet& packet, Status& status);
  bool TakeBlock(Status& status);
  bool BeginBlocks(std::span<const uint8_t> raw);
  void Accept(size_t index, uint8_t error);
  void CountUnasked(const Packet& packet);

  PacketPort<Parser> port_;
  const bool echo_;
  const std::span<const uint8_t> ids_;
  Request request_;
  bool waiting_ = false;
  // Of the request's ids, the first that has not answered.
  size_t next_ = 0;
  // The fast status whose blocks are being handed out.
  std::span<const uint8_t> blocks_;
  // When an answer can be complete at the earliest.
  absl::Duration earliest_answer_;
  BusCounters counters_;
};

}  // namespace demorl::dxl
