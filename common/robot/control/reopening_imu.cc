#include "common/robot/control/reopening_imu.h"

#include <utility>

#include "absl/memory/memory.h"
#include "common/base/status_macros.h"

namespace demorl {

absl::StatusOr<std::unique_ptr<ReopeningImu>> ReopeningImu::Open(Opener opener) {
  ASSIGN_OR_RETURN(std::unique_ptr<Imu> imu, opener());
  return absl::WrapUnique(new ReopeningImu(std::move(opener), std::move(imu)));
}

ReopeningImu::ReopeningImu(Opener opener, std::unique_ptr<Imu> imu)
    : opener_(std::move(opener)), imu_(std::move(imu)) {}

absl::Status ReopeningImu::Start() {
  if (imu_ != nullptr) {
    const absl::Status started = imu_->Start();
    if (!was_started_ || !absl::IsUnavailable(started)) {
      was_started_ = was_started_ || started.ok();
      return started;
    }
    // The old port is closed first: it is held by one.
    imu_.reset();
  }
  ASSIGN_OR_RETURN(imu_, opener_());
  return imu_->Start();
}

}  // namespace demorl
