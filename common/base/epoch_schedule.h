#pragma once

#include <algorithm>
#include <cstdint>

namespace demorl {

// Schedules count epochs of this many rows of D_ENV.
inline constexpr int64_t kRowsPerEpoch = 1000;

// A value that moves linearly from `start_value` at `start_epoch` to `end_value` at `end_epoch` and is
// constant outside.
struct EpochSchedule {
  double start_epoch = 0;
  double end_epoch = 0;
  double start_value = 0;
  double end_value = 0;

  double At(double epoch) const {
    const double length = end_epoch - start_epoch;
    const double share =
        length > 0 ? std::clamp((epoch - start_epoch) / length, 0.0, 1.0) : (epoch < start_epoch ? 0.0 : 1.0);
    return start_value + share * (end_value - start_value);
  }
};

}  // namespace demorl
