#pragma once

#include <array>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace demorl {

// One sample of an inertial measurement unit. Frames: W, the world, z up; B, the sensor's body, x forward, y
// left, z up. A driver converts from its device's frames.
struct ImuSample {
  // When its last byte arrived, on RealClock's time line.
  absl::Duration time;
  // The device's own counter of samples where it has one, else counted here.
  uint32_t sequence = 0;
  // R_WB as a unit quaternion (w, x, y, z).
  std::array<double, 4> orientation = {1, 0, 0, 0};
  // Of B in W, expressed in B.
  std::array<double, 3> angular_velocity_rad_s = {};
  // Specific force in B: at rest +9.81 along z.
  std::array<double, 3> acceleration_m_s2 = {};
};

struct ImuCounters {
  uint64_t samples = 0;
  uint64_t bad_messages = 0;
  uint64_t skipped_bytes = 0;
  // Samples that the device's counter says were lost.
  uint64_t missed_samples = 0;
};

// An IMU that sends samples by itself. Of one thread.
class Imu {
 public:
  virtual ~Imu() = default;

  // Sets the device up and waits for its first sample, up to about two seconds. UNAVAILABLE if it is gone or
  // silent, FAILED_PRECONDITION if it answers with something else than this driver's protocol.
  virtual absl::Status Start() = 0;

  // Real-time safe; never blocks. Reads all that has arrived and keeps the newest sample in `sample`; false
  // if there was none since the last call.
  virtual bool Poll(ImuSample& sample) = 0;

  // Real-time safe.
  virtual ImuCounters counters() const = 0;
};

}  // namespace demorl
