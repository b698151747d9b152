#include "common/env/tasks/stochlite/quadruped_environment.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"

namespace demorl::stochlite {
namespace {

// Half-widths of the noise at the start, of the torso's angles and of all velocities; own figures.
constexpr double kAngleNoise_rad = 0.02;
constexpr double kVelocityNoise = 0.02;

// In qpos, behind the torso's free joint.
constexpr int kFirstJointPosition = 7;

void WriteQuaternion(const Attitude& attitude, std::span<double, 4> quaternion) {
  double yaw[4], pitch[4], roll[4], tilted[4];
  const double x[3] = {1, 0, 0}, y[3] = {0, 1, 0}, z[3] = {0, 0, 1};
  mju_axisAngle2Quat(yaw, z, attitude.yaw_rad);
  mju_axisAngle2Quat(pitch, y, attitude.pitch_rad);
  mju_axisAngle2Quat(roll, x, attitude.roll_rad);
  mju_mulQuat(tilted, yaw, pitch);
  mju_mulQuat(quaternion.data(), tilted, roll);
}

}  // namespace

QuadrupedEnvironment::QuadrupedEnvironment(EnvironmentSpec spec, MujocoSetup setup,
                                           std::shared_ptr<mjModel> model, uint64_t seed, QuadrupedBody body)
    : MujocoEnvironment(std::move(spec), std::move(setup), model, seed),
      body_(std::move(body)),
      torso_body_(BodyIndex("torso")),
      randomiser_(model.get(), body_.loaded_bodies) {
  DEMORL_CHECK(model->nu == kNumJoints);
}

absl::StatusOr<std::shared_ptr<mjModel>> QuadrupedEnvironment::OwnModel(const std::string& model_file,
                                                                        double physics_timestep_s) {
  ASSIGN_OR_RETURN(const MjModelHandle shared, LoadMjModel(model_file));
  std::shared_ptr<mjModel> copy(mj_copyModel(nullptr, shared.get()), mj_deleteModel);
  DEMORL_CHECK(copy != nullptr);
  copy->opt.timestep = physics_timestep_s;
  return copy;
}

void QuadrupedEnvironment::SetDraw(const Draw& draw) {
  draw_ = draw;
  randomiser_.Apply(draw, &mutable_data());
}

void QuadrupedEnvironment::StandAlongSlope(const Draw& draw, const PerLeg<Vector3>& feet_m, Random& random,
                                           std::span<double> qpos, std::span<double> qvel) {
  SetDraw(draw);
  mj_resetData(&model(), &mutable_data());
  const double stance = -(body_.hips_m[0][2] + feet_m[0][2]);
  const Vector3 normal =
      TorsoToHeading({.roll_rad = draw_.slope.roll_rad, .pitch_rad = draw_.slope.pitch_rad}, {0, 0, 1});
  for (int axis = 0; axis < 3; ++axis) {
    qpos[axis] = stance * normal[axis];
  }
  const Attitude attitude = {
      .roll_rad = draw_.slope.roll_rad + random.Uniform(-kAngleNoise_rad, kAngleNoise_rad),
      .pitch_rad = draw_.slope.pitch_rad + random.Uniform(-kAngleNoise_rad, kAngleNoise_rad),
      .yaw_rad = random.Uniform(-kAngleNoise_rad, kAngleNoise_rad)};
  WriteQuaternion(attitude, qpos.subspan<3, 4>());
  std::ranges::copy(SolveLegs(body_.leg, feet_m), &qpos[kFirstJointPosition]);
  for (double& velocity : qvel) {
    velocity = random.Uniform(-kVelocityNoise, kVelocityNoise);
  }
}

void QuadrupedEnvironment::Push() {
  mutable_data().xfrc_applied[6 * torso_body_ + 1] = PushAt(draw_, data().time);
}

Attitude QuadrupedEnvironment::TorsoAttitude() const {
  return AttitudeFromQuaternion(qpos().subspan<3, 4>());
}

double QuadrupedEnvironment::TorsoHeight_m() const {
  return qpos()[2] - GroundHeight_m(draw_.slope, qpos()[0], qpos()[1]);
}

LegJoints QuadrupedEnvironment::MeasuredJoints(Leg leg) const {
  const double* position = &qpos()[kFirstJointPosition + kJointsPerLeg * Index(leg)];
  return {.abduction_rad = position[0], .hip_rad = position[1], .knee_rad = position[2]};
}

void QuadrupedEnvironment::UpdatePlane(const PerLeg<bool>& on_ground) {
  PerLeg<Vector3> feet = body_.hips_m;
  for (const Leg leg : kLegs) {
    const Vector3 foot = FootPosition(body_.leg, leg, MeasuredJoints(leg));
    for (int axis = 0; axis < 3; ++axis) {
      feet[Index(leg)][axis] += foot[axis];
    }
  }
  plane_.Update(feet, on_ground, TorsoAttitude());
}

}  // namespace demorl::stochlite
