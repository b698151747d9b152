#pragma once

#include <memory>
#include <string>

#include "common/base/clock.h"
#include "common/robot/drivers/imu.h"
#include "common/robot/drivers/imu/imu_link.h"
#include "common/robot/drivers/imu/vectornav_messages.h"

namespace demorl {

struct VectorNavOptions {
  // A whole part of `base_rate_hz`. At 115200 baud 200 Hz fit (54 bytes of ten bits a sample).
  int rate_hz = 200;
  // The rate that the device divides: 800 on the VN-100, 400 on the VN-200 and VN-300.
  int base_rate_hz = 800;
  // Which of the device's own serial ports this is, 1 or 2.
  int serial_port = 1;
};

// A VectorNav VN-100, VN-200 or VN-300. Start silences its text output and sets up its first binary output
// (register 75), in its memory of the moment, not in the lasting one. Frames: the device's axes are x
// forward, y right, z down and its world is north, east, down; both are turned by pi about x, so that W is
// north, west, up. It has no counter of samples: lost ones are counted by its time stamps.
class VectorNavImu final : public Imu {
 public:
  VectorNavImu(const VectorNavOptions& options, std::unique_ptr<ByteStream> stream,
               const Clock* clock = &RealClock::Get())
      : options_(options), receiver_(std::move(stream), clock) {}

  absl::Status Start() override;
  bool Poll(ImuSample& sample) override;
  ImuCounters counters() const override;

 private:
  // Sends "VNWRG,<registers>" until the device repeats it.
  absl::Status WriteRegister(absl::string_view number, absl::string_view values, absl::string_view verb,
                             absl::Duration deadline);
  bool Take(const VectorNavMessage& message, ImuSample& sample);
  // How many samples on this one is; 0 for the same one again.
  int64_t Advance(uint64_t time_ns);

  const VectorNavOptions options_;
  ImuReceiver<VectorNavParser, VectorNavMessage> receiver_;
  uint64_t last_time_ns_ = 0;
  uint32_t sequence_ = 0;
  uint64_t num_missed_ = 0;
  uint64_t num_samples_ = 0;
  uint64_t bad_samples_ = 0;
};

}  // namespace demorl
