#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/robot/drivers/actuator_bus.h"

namespace demorl {

// What buses have in common whose servos lie on several half-duplex wires. A Wire has a `line` with state()
// and counters(), and is `busy` while it has a request under way.

// Where a servo is.
struct ServoAddress {
  // Of the wire, into the streams that the bus is made with.
  int wire = 0;
  uint8_t id = 0;
};

// INVALID_ARGUMENT for a servo on no wire, with an id above `max_id`, or at the place of another.
absl::Status CheckServoAddresses(std::span<const ServoAddress> servos, size_t num_wires, int max_id);

// For messages.
std::string Describe(const ServoAddress& servo, int joint);

// Real-time safe, as all that follows.
inline void MarkAsOld(std::span<JointMeasurement> measurements) {
  for (JointMeasurement& measurement : measurements) {
    measurement.fresh = false;
  }
}

inline bool AllFresh(std::span<const JointMeasurement> measurements) {
  return std::all_of(measurements.begin(), measurements.end(),
                     [](const JointMeasurement& measurement) { return measurement.fresh; });
}

// Until no wire is busy: looks at each in turn, waiting only where there is nothing else to do. Calls
// serve(wire, wait_until) again while it returns true; it ends all requests by `deadline`.
template <typename Wire, typename Serve>
void ServeInTurn(std::vector<Wire>& wires, const Clock& clock, absl::Duration deadline, const Serve& serve) {
  // How long one wire is waited for while others may have something.
  constexpr absl::Duration kSlice = absl::Microseconds(100);
  auto num_busy = std::count_if(wires.begin(), wires.end(), [](const Wire& wire) { return wire.busy; });
  for (size_t turn = 0; num_busy > 0; ++turn) {
    Wire& wire = wires[turn % wires.size()];
    if (!wire.busy) {
      continue;
    }
    // At the end of a round in which all have been looked at: worth waiting.
    const bool waits = turn % (wires.size() + 1) == 0;
    const absl::Duration wait_until =
        num_busy == 1 ? deadline : (waits ? clock.Now() + kSlice : absl::ZeroDuration());
    while (wire.busy && serve(wire, std::min(wait_until, deadline))) {
    }
    num_busy -= wire.busy ? 0 : 1;
  }
}

// Of a call that did all it should on every wire, or not: a wire that is gone comes first.
template <typename Wire>
BusResult ResultOf(const std::vector<Wire>& wires, bool complete) {
  for (const Wire& wire : wires) {
    if (const BusResult state = wire.line->state(); !state.ok()) {
      return state;
    }
  }
  return {complete ? BusResult::Code::kOk : BusResult::Code::kIncomplete};
}

template <typename Wire>
BusCounters SumOfCounters(const std::vector<Wire>& wires) {
  BusCounters sum;
  for (const Wire& wire : wires) {
    const BusCounters counters = wire.line->counters();
    sum.missing_replies += counters.missing_replies;
    sum.late_or_duplicate_replies += counters.late_or_duplicate_replies;
    sum.bad_messages += counters.bad_messages;
    sum.skipped_bytes += counters.skipped_bytes;
    sum.device_errors += counters.device_errors;
  }
  return sum;
}

}  // namespace demorl
