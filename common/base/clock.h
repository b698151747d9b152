#pragma once

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace demorl {

// Time as the cores see it: monotonic, so that a step of the wall clock has no effect. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;

  // Time since an arbitrary origin; never goes back.
  virtual absl::Duration Now() const = 0;
};

// CLOCK_MONOTONIC.
class RealClock final : public Clock {
 public:
  absl::Duration Now() const override;

  // The one instance most callers share.
  static const RealClock& Get();
};

}  // namespace demorl
