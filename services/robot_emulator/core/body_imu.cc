#include "services/robot_emulator/core/body_imu.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace demorl {

absl::StatusOr<BodyImu> BodyImu::Create(const MujocoPlant* plant, const std::string& free_joint) {
  const int joint = mj_name2id(&plant->model(), mjOBJ_JOINT, free_joint.c_str());
  if (joint < 0) {
    return absl::NotFoundError(absl::StrCat("the model has no joint '", free_joint, "'"));
  }
  if (plant->model().jnt_type[joint] != mjJNT_FREE) {
    return absl::InvalidArgumentError(absl::StrCat("joint '", free_joint, "' is not free"));
  }
  return BodyImu(plant, joint);
}

BodyImu::BodyImu(const MujocoPlant* plant, int joint)
    : plant_(plant),
      position_address_(plant->model().jnt_qposadr[joint]),
      velocity_address_(plant->model().jnt_dofadr[joint]) {}

ImuMotion BodyImu::operator()(absl::Duration) {
  const mjData& data = plant_->data();
  const double* orientation = data.qpos + position_address_ + 3;
  const double* velocity = data.qvel + velocity_address_;
  const double time_s = data.time - time_s_;
  std::array<double, 3> acceleration = {};
  for (int axis = 0; axis < 3; ++axis) {
    acceleration[axis] = time_s > 0 ? (velocity[axis] - velocity_m_s_[axis]) / time_s : 0;
    acceleration[axis] -= plant_->model().opt.gravity[axis];
    velocity_m_s_[axis] = velocity[axis];
  }
  time_s_ = data.time;
  ImuMotion motion;
  std::copy_n(orientation, 4, motion.orientation.begin());
  // Of a free joint, MuJoCo keeps the velocity in the world and the angular velocity in the body.
  std::copy_n(velocity + 3, 3, motion.angular_velocity_rad_s.begin());
  double inverse[4];
  mju_negQuat(inverse, orientation);
  mju_rotVecQuat(motion.acceleration_m_s2.data(), acceleration.data(), inverse);
  return motion;
}

}  // namespace demorl
