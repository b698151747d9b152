#include "common/rpc/shutdown_signals.h"

#include <pthread.h>
#include <signal.h>

#include <cstdlib>
#include <optional>
#include <utility>

#include "common/base/clock.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

sigset_t SignalSet() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

}  // namespace

void BlockShutdownSignals() {
  const sigset_t signals = SignalSet();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

ShutdownSignals::ShutdownSignals(std::function<void(int)> on_first, absl::Duration one_request)
    : on_first_(std::move(on_first)), one_request_(one_request) {
  BlockShutdownSignals();
  thread_ = std::thread([this] { Run(); });
}

ShutdownSignals::~ShutdownSignals() {
  ending_.store(true);
  // Directed at the thread, which takes it by sigwait; the process never sees it.
  pthread_kill(thread_.native_handle(), SIGTERM);
  thread_.join();
}

void ShutdownSignals::Run() {
  pthread_setname_np(pthread_self(), "signals");
  const sigset_t signals = SignalSet();
  std::optional<absl::Duration> first;
  while (true) {
    int signal = 0;
    if (sigwait(&signals, &signal) != 0) {
      continue;
    }
    if (ending_.load()) {
      return;
    }
    const absl::Duration now = RealClock::Get().Now();
    if (!first.has_value()) {
      first = now;
      on_first_(signal);
    } else if (now - *first >= one_request_) {
      spdlog::warn("second signal: ending without a drain");
      spdlog::default_logger()->flush();
      std::_Exit(128 + signal);
    }
  }
}

}  // namespace demorl
