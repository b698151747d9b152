#pragma once

#include "common/concurrency/stop_token.h"
#include "common/rpc/shutdown_signals.h"

namespace demorl {

// Turns SIGINT and SIGTERM into a stop request; a second signal ends the process at once. Needs
// BlockShutdownSignals() early in main. One instance at a time.
class SignalStop {
 public:
  SignalStop();

  StopToken token() const { return source_.token(); }

 private:
  StopSource source_;
  ShutdownSignals signals_;
};

}  // namespace demorl
