#pragma once

#include <atomic>
#include <functional>
#include <thread>

#include "absl/time/time.h"

namespace demorl {

// Blocks SIGTERM and SIGINT in this thread and those it starts, so that one thread takes them by sigwait.
// Call first in main.
void BlockShutdownSignals();

// A thread that takes SIGTERM and SIGINT while it lives. The first one calls `on_first` (on that thread, with
// the signal's number); a second one ends the process at once with 128 + number. Those that come within
// `one_request` of the first belong to it: timeout(1) and others signal the process and its whole group. One
// instance at a time.
class ShutdownSignals {
 public:
  explicit ShutdownSignals(std::function<void(int signal)> on_first,
                           absl::Duration one_request = absl::Milliseconds(500));
  ~ShutdownSignals();

 private:
  void Run();

  const std::function<void(int)> on_first_;
  const absl::Duration one_request_;
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

}  // namespace demorl
