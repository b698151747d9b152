#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/robot/drivers/actuator_bus.h"
#include "common/robot/drivers/bus_state.h"
#include "common/robot/transport/half_duplex_port.h"

namespace demorl {

// The host's end of a half-duplex wire, behind the parser of its protocol: packets go out whole, what comes
// in is handed on packet by packet. For protocols without numbers in their packets, where only the order and
// the time of what comes tell which request it answers. Packets are views, until the next call. Of one
// thread; all methods are real-time safe but the constructor.
//
// Parser: Push, Next, Flush, skipped_bytes and num_damaged, as b3m::Parser and dxl::Parser have them.
template <typename Parser>
class PacketPort {
 public:
  // `clock` is that of the stream.
  PacketPort(ByteStream* stream, const Clock* clock, int baud_rate) : port_(stream, clock, baud_rate) {}

  // As HalfDuplexPort.
  bool Send(std::span<const uint8_t> packets) { return port_.Send(packets); }
  absl::Duration WireTime(size_t num_bytes) const { return port_.WireTime(num_bytes); }
  absl::Duration FreeAt() const { return port_.FreeAt(); }
  absl::Duration Now() const { return port_.Now(); }

  // When the answer of an exchange that began at `start` can be complete at the earliest. Whatever is there
  // sooner is older than the question.
  static absl::Duration EarliestAnswer(absl::Duration start, absl::Duration round_trip) {
    constexpr double kFastestShare = 0.8;  // a device's clock may run fast by some per cent
    return start + kFastestShare * round_trip;
  }

  // Hands `take` what has come and what comes until `wait_until`; true as soon as `take` returns true.
  template <typename Take>
  bool Receive(absl::Duration wait_until, const Take& take) {
    if (TakeWhole(take)) {
      return true;
    }
    IoResult result;
    do {
      result = Read(wait_until);
      if (TakeWhole(take)) {
        return true;
      }
    } while (result.ok() && Now() < wait_until);
    return false;
  }

  // As Receive when nothing more is to come: also hands on what stands behind an unfinished packet, whose
  // start may have been noise.
  template <typename Take>
  bool Flush(const Take& take) {
    while (const auto packet = parser_.Flush()) {
      if (take(*packet)) {
        return true;
      }
    }
    return false;
  }

  // Empties the port before a question, showing what has come unasked to `visit`.
  template <typename Visit>
  void DropStale(const Visit& visit) {
    constexpr int kMaxReads = 16;  // a babbling device may send faster than this reads
    const auto take = [&](const auto& packet) {
      visit(packet);
      return false;
    };
    for (int i = 0; i < kMaxReads && Read(absl::ZeroDuration()).ok(); ++i) {
      TakeWhole(take);
    }
    Flush(take);
  }

  const Parser& parser() const { return parser_; }
  // kOk, kClosed or kFailed.
  BusResult state() const { return BusStateOf(port_.state()); }
  // `line` and what the parser has found wrong.
  BusCounters Total(BusCounters line) const {
    line.bad_messages += parser_.num_damaged();
    line.skipped_bytes += parser_.skipped_bytes();
    return line;
  }

 private:
  IoResult Read(absl::Duration wait_until) {
    std::array<uint8_t, 1024> bytes;
    const IoResult result = port_.Read(bytes, wait_until);
    if (result.ok()) {
      parser_.Push(std::span(bytes).first(result.num_bytes));
    }
    return result;
  }

  template <typename Take>
  bool TakeWhole(const Take& take) {
    while (const auto packet = parser_.Next()) {
      if (take(*packet)) {
        return true;
      }
    }
    return false;
  }

  HalfDuplexPort port_;
  Parser parser_;
};

}  // namespace demorl
