#pragma once

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "common/robot/drivers/imu.h"

namespace demorl {

// An IMU that can be lost and found again: once it has been started, a Start that finds it silent or gone
// opens it anew.
class ReopeningImu final : public Imu {
 public:
  using Opener = std::function<absl::StatusOr<std::unique_ptr<Imu>>()>;

  // Opens it for the first time; the opener's error if that fails.
  static absl::StatusOr<std::unique_ptr<ReopeningImu>> Open(Opener opener);

  // Also the opener's errors.
  absl::Status Start() override;
  bool Poll(ImuSample& sample) override { return imu_ != nullptr && imu_->Poll(sample); }
  // Since it was last opened.
  ImuCounters counters() const override { return imu_ == nullptr ? ImuCounters() : imu_->counters(); }

 private:
  ReopeningImu(Opener opener, std::unique_ptr<Imu> imu);

  const Opener opener_;
  // Null while its port is closed and not open again yet.
  std::unique_ptr<Imu> imu_;
  bool was_started_ = false;
};

}  // namespace demorl
