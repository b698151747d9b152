#pragma once

#include "common/base/clock.h"

namespace demorl {

// A clock that a test moves by hand. Thread-compatible.
class ManualClock final : public Clock {
 public:
  absl::Duration Now() const override { return now; }

  absl::Duration now = absl::Seconds(100);
};

}  // namespace demorl
