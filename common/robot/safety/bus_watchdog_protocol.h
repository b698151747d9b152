#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace demorl {

// What a gateway and its bus watchdog (services/bus_watchdog) say to each other, over a pair of
// SOCK_SEQPACKET sockets that the gateway makes; the watchdog finds its end at kWatchdogDescriptor.
//   gateway   the order, with the ports' descriptors; then kBeat again and again, or kRest while the motors
//   are
//             off; kGoodbye at an orderly end
//   watchdog  kReady and what the system has refused it, or kRefusal and why
// The pair's end without kGoodbye is the gateway's death. Both are of one build on one machine: numbers are
// in its byte order.

constexpr int kWatchdogDescriptor = 3;
constexpr char kBeat = 'b';
constexpr char kRest = 's';
constexpr char kGoodbye = 'g';
constexpr char kReady = 'r';
constexpr char kRefusal = 'x';

// How the watchdog ends.
enum WatchdogExit {
  kWatchdogGoodbye = 0,
  // The gateway died or fell silent; every bus got its bytes.
  kWatchdogFreed = 1,
  // The same, but at least one bus could not be written to.
  kWatchdogNotFreed = 2,
  // It got no order, or one that it could not follow.
  kWatchdogNoOrder = 3,
};

// A bus that must not be left alone.
struct WatchedPort {
  // For messages.
  std::string name;
  // Open for writing, non-blocking.
  int descriptor = -1;
  // What takes the motors of this bus off, whatever was said before.
  std::vector<uint8_t> freeing_bytes;
};

struct WatchdogOrder {
  // Silence of the gateway that counts as its death, after a beat.
  absl::Duration timeout;
  // Of SCHED_FIFO; 0 for the normal scheduler.
  int realtime_priority = 0;
  std::vector<WatchedPort> ports;
};

// INVALID_ARGUMENT for an order without ports, a port without bytes or descriptor, too much of either, or
// numbers out of range.
absl::Status CheckWatchdogOrder(const WatchdogOrder& order);

// As CheckWatchdogOrder; UNAVAILABLE if the other end is gone.
absl::Status SendWatchdogOrder(int socket, const WatchdogOrder& order);
// Waits until `deadline` (RealClock). The descriptors are new ones and belong to the caller. UNAVAILABLE if
// the other end is gone or silent, INVALID_ARGUMENT for a message that is no order.
absl::StatusOr<WatchdogOrder> ReceiveWatchdogOrder(int socket, absl::Duration deadline);

}  // namespace demorl
