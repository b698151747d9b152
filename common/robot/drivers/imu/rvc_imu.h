#pragma once

#include <memory>
#include <optional>

#include "common/base/clock.h"
#include "common/robot/drivers/imu.h"
#include "common/robot/drivers/imu/imu_link.h"
#include "common/robot/drivers/imu/rotation.h"
#include "common/robot/drivers/imu/rvc_messages.h"
#include "common/robot/drivers/imu/sample_counter.h"

namespace demorl {

// A BNO08x in UART-RVC mode: 100 Hz at 115200 baud from power-on, nothing to set up; a sample that arrives is
// the acknowledgement.
//
// Angular velocity is not on the wire. It is the rotation from the sample before to this one, over the time
// between them by the device's own counter (not by arrival, which jitters): the mean over the last 10 ms,
// hence 5 ms late, in steps of about 1 degree/s (0.017 rad/s) by the 0.01 degree of the angles. The first
// sample, and one after half a second of silence, has nothing to compare with and is withheld.
//
// Frames: the chip's x, y, z are taken for forward, left, up; W is the world of its start. The angles turn z
// by yaw, then the new x by pitch, then the newest y by roll. (Libraries name the axes of pitch and roll the
// other way round; a recorded sample's angles explain its gravity only like this.)
class RvcImu final : public Imu {
 public:
  explicit RvcImu(std::unique_ptr<ByteStream> stream, const Clock* clock = &RealClock::Get())
      : receiver_(std::move(stream), clock) {}

  absl::Status Start() override;
  bool Poll(ImuSample& sample) override;
  ImuCounters counters() const override;

 private:
  bool Take(const RvcMessage& message, ImuSample& sample);

  ImuReceiver<RvcParser, RvcMessage> receiver_;
  SampleCounter counter_{1 << 8};
  uint64_t num_samples_ = 0;
  std::optional<Quaternion> last_orientation_;
  absl::Duration last_arrival_;
};

// Of the angles of a message.
Quaternion RvcOrientation(const RvcMessage& message);

}  // namespace demorl
