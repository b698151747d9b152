#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/robot/transport/byte_stream.h"
#include "common/robot/transport/byte_window.h"

namespace demorl {

// The wire to an IMU, and what is needed to say why nothing comes over it. Of one thread.
class ImuLink {
 public:
  ImuLink(std::unique_ptr<ByteStream> stream, const Clock* clock)
      : stream_(std::move(stream)), clock_(clock) {}

  absl::Duration Now() const { return clock_->Now(); }

  // Waits for bytes until `deadline` and moves those that are there into `window`; false if there are none.
  // Real-time safe with a deadline in the past.
  bool Receive(ByteWindow& window, absl::Duration deadline);

  // When the last bytes were received.
  absl::Duration arrival() const { return arrival_; }

  // Throws away what came before, and begins anew to watch what comes.
  void Restart(ByteWindow& window);

  // UNAVAILABLE if not all could be sent by `deadline`.
  absl::Status Send(std::span<const uint8_t> bytes, absl::Duration deadline);

  // Of a device that has not done `expected` in time. UNAVAILABLE if the port is closed, or no byte has come
  // since Restart, or (`speaks_protocol`) messages but not that one; FAILED_PRECONDITION if what came is no
  // message of `protocol`.
  absl::Status Explain(absl::string_view expected, absl::string_view protocol, bool speaks_protocol) const;

 private:
  const std::unique_ptr<ByteStream> stream_;
  const Clock* const clock_;
  absl::Duration arrival_;
  bool closed_ = false;
  int error_number_ = 0;
  uint64_t received_bytes_ = 0;
  // The first that came since Restart.
  std::array<uint8_t, 12> first_bytes_ = {};
};

// An ImuLink with the parser of what comes over it.
template <typename Parser, typename Message>
class ImuReceiver {
 public:
  ImuReceiver(std::unique_ptr<ByteStream> stream, const Clock* clock) : link_(std::move(stream), clock) {}

  ImuLink& link() { return link_; }
  const Parser& parser() const { return parser_; }

  void Restart() {
    link_.Restart(parser_.window());
    speaks_protocol_ = false;
  }

  // Takes messages as they come, until `handle` returns true for one; false if it has not by `deadline`.
  template <typename Handle>
  bool Await(absl::Duration deadline, Handle handle) {
    for (;;) {
      Message message;
      while (parser_.Next(message)) {
        speaks_protocol_ = true;
        if (handle(message)) {
          return true;
        }
      }
      if (link_.Now() >= deadline || !link_.Receive(parser_.window(), deadline)) {
        return false;
      }
    }
  }

  // Real-time safe if `handle` is. Calls it on every message that has arrived; of a device that sends without
  // end, on a bounded number.
  template <typename Handle>
  void Drain(Handle handle) {
    constexpr int kMaxReads = 16;
    Message message;
    for (int i = 0; i < kMaxReads && link_.Receive(parser_.window(), absl::ZeroDuration()); ++i) {
      while (parser_.Next(message)) {
        handle(message);
      }
    }
  }

  absl::Status Explain(absl::string_view expected, absl::string_view protocol) const {
    return link_.Explain(expected, protocol, speaks_protocol_);
  }

 private:
  ImuLink link_;
  Parser parser_;
  bool speaks_protocol_ = false;
};

}  // namespace demorl
