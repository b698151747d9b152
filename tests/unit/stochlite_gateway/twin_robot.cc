#include "tests/unit/stochlite_gateway/twin_robot.h"

#include <algorithm>

namespace demorl::testing {
namespace {

using stochlite::kNumJoints;

constexpr int kFirstPosition = 7;
constexpr int kFirstVelocity = 6;

stochlite::TwinOptions OnSlope(const stochlite::PlaneAngles& slope) {
  stochlite::TwinOptions options;
  options.randomisation.slope = slope;
  return options;
}

std::unique_ptr<stochlite::StochLiteEnvironment> MakeTwin(const stochlite::PlaneAngles& slope) {
  const stochlite::TwinOptions options = OnSlope(slope);
  auto environment =
      *stochlite::StochLiteEnvironment::Create(stochlite::TwinSpec("twin", options.observation), 1, options);
  environment->Reset();
  return environment;
}

}  // namespace

TwinRobot::TwinRobot(const stochlite::PlaneAngles& slope)
    : environment_(MakeTwin(slope)),
      model_(mj_copyModel(nullptr, &environment_->model()), mj_deleteModel),
      data_(mj_copyData(nullptr, model_.get(), &environment_->data())),
      joints_(kNumJoints) {}

void TwinRobot::Place(double height_m, const stochlite::Attitude& attitude,
                      std::span<const double> joints_rad) {
  mj_resetData(model_.get(), data_.get());
  data_->qpos[2] = height_m;
  double angles[3] = {attitude.yaw_rad, attitude.pitch_rad, attitude.roll_rad};
  mju_euler2Quat(data_->qpos + 3, angles, "zyx");
  std::ranges::copy(joints_rad, data_->qpos + kFirstPosition);
}

void TwinRobot::Advance(std::span<const JointCommand> commands) {
  for (int joint = 0; joint < kNumJoints; ++joint) {
    const bool powered = commands[joint].mode == ActuatorMode::kPosition;
    data_->ctrl[joint] = powered ? commands[joint].position_rad : data_->qpos[kFirstPosition + joint];
  }
  for (double time_s = 0; time_s < 0.01 - 1e-9; time_s += model_->opt.timestep) {
    mj_step(model_.get(), data_.get());
  }
}

RobotMeasurement TwinRobot::Measure() {
  for (int joint = 0; joint < kNumJoints; ++joint) {
    joints_[joint] = {.time = absl::Seconds(data_->time),
                      .fresh = true,
                      .position_rad = data_->qpos[kFirstPosition + joint],
                      .velocity_rad_s = data_->qvel[kFirstVelocity + joint],
                      .torque_nm = data_->actuator_force[joint]};
  }
  imu_.time = absl::Seconds(data_->time);
  std::copy_n(data_->qpos + 3, 4, imu_.orientation.begin());
  std::copy_n(data_->qvel + 3, 3, imu_.angular_velocity_rad_s.begin());
  return {.time = imu_.time, .joints = joints_, .imu = &imu_};
}

}  // namespace demorl::testing
