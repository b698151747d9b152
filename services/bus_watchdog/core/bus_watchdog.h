#pragma once

#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/robot/safety/bus_watchdog_protocol.h"

namespace demorl {

enum class WatchEnd {
  kGoodbye,
  // The gateway's end of the socket is closed: it has died.
  kGone,
  // No beat for the timeout: it stands still.
  kSilent,
};

// Watches the gateway's beats until there is an end to them. Before the first one, and while the gateway
// rests, only a closed socket counts: the motors are off, and it may be setting itself up.
WatchEnd WatchBeats(int socket, absl::Duration timeout);

// Writes to every port, three times 20 ms apart: the first may meet a message that the gateway left half
// written, or an answer on the wire. UNAVAILABLE naming the ports that took it not once.
absl::Status FreeBuses(const std::vector<WatchedPort>& ports);

// The whole life of a watchdog, on the socket of bus_watchdog_protocol.h. Returns a WatchdogExit; what it did
// is on standard error. Ignores the signals that ask a process to end: it is to outlive its gateway.
int RunBusWatchdog(int socket);

}  // namespace demorl
