#include "common/rpc/shutdown_signals.h"

#include <pthread.h>
#include <signal.h>

#include <cstdlib>
#include <utility>

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

ShutdownSignals::ShutdownSignals(std::function<void(int)> on_first) : on_first_(std::move(on_first)) {
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
  bool first = true;
  while (true) {
    int signal = 0;
    if (sigwait(&signals, &signal) != 0) {
      continue;
    }
    if (ending_.load()) {
      return;
    }
    if (!first) {
      spdlog::warn("second signal: ending without a drain");
      spdlog::default_logger()->flush();
      std::_Exit(128 + signal);
    }
    first = false;
    on_first_(signal);
  }
}

}  // namespace demorl
