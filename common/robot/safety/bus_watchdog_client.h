#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/robot/safety/bus_watchdog_protocol.h"

namespace demorl {

// A gateway's side of its bus watchdog: a small process that takes the motors off when the gateway dies or
// stands still, for servos that have no watchdog of their own. Of one thread at a time.
class BusWatchdogClient {
 public:
  struct Options {
    // demorl-bus-watchdog; empty for the one beside the running program.
    std::string program;
    WatchdogOrder order;
  };

  // Starts the process and waits until it watches, up to two seconds. NOT_FOUND without the program,
  // INVALID_ARGUMENT for an order that CheckWatchdogOrder refuses, UNAVAILABLE if it does not come up. The
  // ports' descriptors are borrowed, and duplicated in the process: their locks stay held until it ends.
  static absl::StatusOr<std::unique_ptr<BusWatchdogClient>> Start(const Options& options);

  // Without Goodbye, the watchdog frees the buses. Waits for its end, up to a second.
  ~BusWatchdogClient();

  BusWatchdogClient(const BusWatchdogClient&) = delete;
  BusWatchdogClient& operator=(const BusWatchdogClient&) = delete;

  // Real-time safe. To be called in each tick, before motors are commanded: says that the gateway lives (at
  // most every tenth of the timeout). False for good once the watchdog is gone, be it that it has freed the
  // buses because this process stood still: motors must then not be commanded again.
  bool Beat() { return Say(kBeat); }
  // The same while all motors are off: from here to the next Beat silence means nothing, this process's end
  // still does.
  bool Rest() { return Say(kRest); }

  // Ends the watchdog in peace; the motors are to be off. INTERNAL if it has ended by itself before, with
  // what it had done.
  absl::Status Goodbye();

  pid_t pid() const { return pid_; }
  // What the system has refused the watchdog, one line each.
  const std::vector<std::string>& degraded() const { return degraded_; }

 private:
  BusWatchdogClient(int socket, pid_t pid, absl::Duration beat_period)
      : socket_(socket), pid_(pid), beat_period_(beat_period) {}

  absl::Status AwaitReady();
  bool Say(char word);
  // The exit status, or -1 if it has not ended in time.
  int AwaitExit();

  const int socket_;
  const pid_t pid_;
  const absl::Duration beat_period_;
  absl::Duration last_said_at_ = -absl::InfiniteDuration();
  char last_said_ = kRest;
  bool lost_ = false;
  bool ended_ = false;
  std::vector<std::string> degraded_;
};

}  // namespace demorl
