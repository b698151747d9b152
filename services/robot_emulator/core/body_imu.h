#pragma once

#include <array>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/robot/drivers/imu/imu_source.h"
#include "services/robot_emulator/core/mujoco_plant.h"

namespace demorl {

// What an IMU in the origin of a floating body feels, along the body's axes; the model's world is the IMU's.
// Acceleration is the mean since the last sample, as of a device that integrates between two of them: what a
// single step of the simulation tells is mostly the impacts of contacts. An ImuSource; of one thread.
class BodyImu {
 public:
  // Borrows the plant. NOT_FOUND without such a joint, INVALID_ARGUMENT for one that is not free.
  static absl::StatusOr<BodyImu> Create(const MujocoPlant* plant, const std::string& free_joint);

  ImuMotion operator()(absl::Duration now);

 private:
  BodyImu(const MujocoPlant* plant, int joint);

  const MujocoPlant* plant_;
  int position_address_;
  int velocity_address_;
  // Of the last sample.
  double time_s_ = 0;
  std::array<double, 3> velocity_m_s_ = {};
};

}  // namespace demorl
