#include "common/base/clock.h"

#include <time.h>

namespace demorl {

absl::Duration RealClock::Now() const {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return absl::DurationFromTimespec(now);
}

const RealClock& RealClock::Get() {
  static const RealClock clock;
  return clock;
}

}  // namespace demorl
