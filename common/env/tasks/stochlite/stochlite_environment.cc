#include "common/env/tasks/stochlite/stochlite_environment.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/env/tasks/stochlite/gait_action.h"
#include "common/env/tasks/stochlite/reward.h"
#include "common/env/tasks/stochlite/urdf_inertias.h"

namespace demorl::stochlite {
namespace {

constexpr const char* kModelFile = "stochlite.xml";
// Half-widths of the noise at the start, of the torso's angles and of all velocities; own figures.
constexpr double kAngleNoise_rad = 0.02;
constexpr double kVelocityNoise = 0.02;

// Layout of qpos and qvel: the torso's free joint, then abduction, hip and knee of each leg.
constexpr int kFirstJointPosition = 7;
constexpr int kFirstJointVelocity = 6;

// All that the task remembers from one step to the next.
struct Memory {
  Draw draw;
  TrotGenerator::State gait;
  PlaneEstimate::State plane;
  double commanded_heading_rad = 0;
};
static_assert(std::is_trivially_copyable_v<Memory> && sizeof(Memory) % sizeof(double) == 0);

void WriteQuaternion(const Attitude& attitude, std::span<double, 4> quaternion) {
  double yaw[4], pitch[4], roll[4], tilted[4];
  const double x[3] = {1, 0, 0}, y[3] = {0, 1, 0}, z[3] = {0, 0, 1};
  mju_axisAngle2Quat(yaw, z, attitude.yaw_rad);
  mju_axisAngle2Quat(pitch, y, attitude.pitch_rad);
  mju_axisAngle2Quat(roll, x, attitude.roll_rad);
  mju_mulQuat(tilted, yaw, pitch);
  mju_mulQuat(quaternion.data(), tilted, roll);
}

// A copy of the shared model, which randomisation may change.
std::shared_ptr<mjModel> CopyModel(const mjModel& model, const TwinOptions& options) {
  std::shared_ptr<mjModel> copy(mj_copyModel(nullptr, &model), mj_deleteModel);
  DEMORL_CHECK(copy != nullptr);
  copy->opt.timestep = kControlPeriod_s / options.simulation_steps;
  if (options.urdf_inertias) {
    SetUrdfInertias(copy.get());
  }
  return copy;
}

}  // namespace

absl::StatusOr<std::unique_ptr<StochLiteEnvironment>> StochLiteEnvironment::Create(
    EnvironmentSpec spec, uint64_t seed, const TwinOptions& options) {
  ASSIGN_OR_RETURN(const MjModelHandle shared, LoadMjModel(kModelFile));
  MujocoSetup setup{.model_file = kModelFile, .frame_skip = options.simulation_steps, .own_actuators = true};
  return std::unique_ptr<StochLiteEnvironment>(new StochLiteEnvironment(
      std::move(spec), std::move(setup), CopyModel(*shared, options), seed, options));
}

StochLiteEnvironment::StochLiteEnvironment(EnvironmentSpec spec, MujocoSetup setup,
                                           std::shared_ptr<mjModel> model, uint64_t seed,
                                           const TwinOptions& options)
    : MujocoEnvironment(std::move(spec), std::move(setup), model, seed),
      options_(options),
      torso_body_(BodyIndex("torso")),
      randomiser_(model.get()),
      generator_(kControlPeriod_s, options.smoothing_time_s) {
  DEMORL_CHECK(model->nu == kNumJoints);
}

void StochLiteEnvironment::DrawInitialState(Random& random, std::span<double> qpos, std::span<double> qvel) {
  draw_ = DrawEpisode(options_.randomisation, random);
  randomiser_.Apply(draw_, &mutable_data());
  mj_resetData(&model(), &mutable_data());
  const double stance = kHipDrop_m - TrotGenerator::kStanceHeight_m;
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
  generator_.Reset();
  std::ranges::copy(SolveLegs(generator_.feet_m()), &qpos[kFirstJointPosition]);
  for (double& velocity : qvel) {
    velocity = random.Uniform(-kVelocityNoise, kVelocityNoise);
  }
}

void StochLiteEnvironment::BeginEpisode() {
  generator_.Reset();
  plane_.Reset();
  UpdatePlane({true, true, true, true});
  commanded_heading_rad_ = 0;
  Measure();
}

void StochLiteEnvironment::Actuate(std::span<const double> action, std::span<double> command) {
  std::ranges::copy(SolveLegs(generator_.Step(GaitFromAction(action))), command.begin());
  commanded_heading_rad_ += draw_.command.yaw_rate_rad_s * kControlPeriod_s;
  mutable_data().xfrc_applied[6 * torso_body_ + 1] = PushAt(draw_, data().time);
}

void StochLiteEnvironment::AfterSimulation() {
  PerLeg<bool> on_ground;
  for (const Leg leg : kLegs) {
    on_ground[Index(leg)] = generator_.InFirmStance(leg);
  }
  UpdatePlane(on_ground);
  Measure();
}

Attitude StochLiteEnvironment::TorsoAttitude() const {
  return AttitudeFromQuaternion(qpos().subspan<3, 4>());
}

LegJoints StochLiteEnvironment::MeasuredJoints(Leg leg) const {
  const double* position = &qpos()[kFirstJointPosition + kJointsPerLeg * Index(leg)];
  return {.abduction_rad = position[0], .hip_rad = position[1], .knee_rad = position[2]};
}

void StochLiteEnvironment::UpdatePlane(const PerLeg<bool>& on_ground) {
  PerLeg<Vector3> feet;
  for (const Leg leg : kLegs) {
    const Vector3 hip = HipOffset(leg), foot = FootPosition(leg, MeasuredJoints(leg));
    feet[Index(leg)] = {hip[0] + foot[0], hip[1] + foot[1], hip[2] + foot[2]};
  }
  plane_.Update(feet, on_ground, TorsoAttitude());
}

void StochLiteEnvironment::Measure() {
  Attitude attitude = TorsoAttitude();
  attitude.yaw_rad = WrapAngle(attitude.yaw_rad - commanded_heading_rad_);
  const Vector3 velocity = {qvel()[0], qvel()[1], qvel()[2]};
  const Vector3 turning = TorsoToHeading(attitude, {qvel()[3], qvel()[4], qvel()[5]});
  state_ = {.height_m = qpos()[2] - GroundHeight_m(draw_.slope, qpos()[0], qpos()[1]),
            .attitude = attitude,
            .velocity_m_s = TurnAboutVertical(velocity, -commanded_heading_rad_),
            .angular_velocity_rad_s = TurnAboutVertical(turning, attitude.yaw_rad),
            .plane = plane_.angles(),
            .command = draw_.command,
            .gait_phase_rad = generator_.Phase(Leg::kFrontLeft),
            .gait = generator_.state().gait};
}

double StochLiteEnvironment::JointPower_w() const {
  double power = 0;
  for (int motor = 0; motor < model().nu; ++motor) {
    power += std::abs(data().actuator_force[motor] * qvel()[kFirstJointVelocity + motor]);
  }
  return power;
}

std::vector<double> StochLiteEnvironment::SaveTask() const {
  const Memory memory = {draw_, generator_.state(), plane_.state(), commanded_heading_rad_};
  std::vector<double> values(sizeof(memory) / sizeof(double));
  std::memcpy(values.data(), &memory, sizeof(memory));
  return values;
}

void StochLiteEnvironment::RestoreTask(std::span<const double> values) {
  Memory memory;
  DEMORL_CHECK(values.size_bytes() == sizeof(memory));
  std::memcpy(static_cast<void*>(&memory), values.data(), sizeof(memory));
  draw_ = memory.draw;
  generator_.set_state(memory.gait);
  plane_.set_state(memory.plane);
  commanded_heading_rad_ = memory.commanded_heading_rad;
  randomiser_.Apply(draw_, &mutable_data());
}

void StochLiteEnvironment::Observe(std::span<double> observation) const {
  WriteObservation(options_.observation, state_, observation);
}

MujocoEnvironment::Outcome StochLiteEnvironment::Evaluate(std::span<const double>, const Anchor&,
                                                          const Anchor&) const {
  // As a learned model's predictions are judged, in single precision.
  std::array<double, ObservationSize(ObservationSet::kFull)> observation{};
  std::array<float, ObservationSize(ObservationSet::kFull)> rounded{};
  WriteObservation(options_.observation, state_, std::span(observation).first(spec().observation_size));
  std::ranges::copy(observation, rounded.begin());
  if (TerminationRuleOf(options_.observation)(rounded)) {
    return {.reward = 0, .terminated = true};
  }
  return {.reward = StepReward(state_, draw_.slope, JointPower_w())};
}

}  // namespace demorl::stochlite
