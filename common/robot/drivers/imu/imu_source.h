#pragma once

#include <array>
#include <functional>

#include "absl/time/time.h"

namespace demorl {

// What an emulated IMU feels; quantities and frames as of ImuSample.
struct ImuMotion {
  std::array<double, 4> orientation = {1, 0, 0, 0};
  std::array<double, 3> angular_velocity_rad_s = {};
  std::array<double, 3> acceleration_m_s2 = {0, 0, 9.80665};
};

// Called at each sample, on the thread of the emulator's Step.
using ImuSource = std::function<ImuMotion(absl::Duration now)>;

// Says when an emulated device's next sample is due.
class SamplePacer {
 public:
  void SetRate(double rate_hz) { period_ = absl::Seconds(1 / rate_hz); }
  absl::Duration period() const { return period_; }

  // True once for each period. Of time that was skipped, as by a machine that stood still, no samples are
  // due.
  bool Due(absl::Duration now) {
    if (now < next_) {
      return false;
    }
    next_ = now - next_ > 10 * period_ ? now + period_ : next_ + period_;
    return true;
  }

 private:
  absl::Duration period_ = absl::Milliseconds(10);
  absl::Duration next_;
};

}  // namespace demorl
