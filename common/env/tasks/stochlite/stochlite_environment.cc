#include "common/env/tasks/stochlite/stochlite_environment.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/base/status_macros.h"
#include "common/env/task_memory.h"
#include "common/env/tasks/stochlite/gait_action.h"
#include "common/env/tasks/stochlite/reward.h"
#include "common/env/tasks/stochlite/urdf_inertias.h"

namespace demorl::stochlite {
namespace {

// In qvel, behind the torso's free joint.
constexpr int kFirstJointVelocity = 6;

// All that the task remembers from one step to the next.
struct Memory {
  Draw draw;
  TrotGenerator::State gait;
  PlaneEstimate::State plane;
  double commanded_heading_rad = 0;
};

QuadrupedBody StochLiteBody() {
  QuadrupedBody body = {.model_file = "stochlite.xml", .leg = kStochLiteLeg, .loaded_bodies = {"torso"}};
  for (const Leg leg : kLegs) {
    const Vector3 hip = HipOffset(leg);
    body.hips_m[Index(leg)] = {hip[0], hip[1], -kHipDrop_m};
  }
  return body;
}

}  // namespace

absl::StatusOr<std::unique_ptr<StochLiteEnvironment>> StochLiteEnvironment::Create(
    EnvironmentSpec spec, uint64_t seed, const TwinOptions& options) {
  QuadrupedBody body = StochLiteBody();
  ASSIGN_OR_RETURN(std::shared_ptr<mjModel> model,
                   OwnModel(body.model_file, kControlPeriod_s / options.simulation_steps));
  if (options.urdf_inertias) {
    SetUrdfInertias(model.get());
  }
  MujocoSetup setup{
      .model_file = body.model_file, .frame_skip = options.simulation_steps, .own_actuators = true};
  return std::unique_ptr<StochLiteEnvironment>(new StochLiteEnvironment(
      std::move(spec), std::move(setup), std::move(model), seed, std::move(body), options));
}

StochLiteEnvironment::StochLiteEnvironment(EnvironmentSpec spec, MujocoSetup setup,
                                           std::shared_ptr<mjModel> model, uint64_t seed, QuadrupedBody body,
                                           const TwinOptions& options)
    : QuadrupedEnvironment(std::move(spec), std::move(setup), std::move(model), seed, std::move(body)),
      options_(options),
      generator_(kControlPeriod_s, options.smoothing_time_s) {}

void StochLiteEnvironment::DrawInitialState(Random& random, std::span<double> qpos, std::span<double> qvel) {
  const Draw draw = DrawEpisode(options_.randomisation, random);
  generator_.Reset();
  StandAlongSlope(draw, generator_.feet_m(), random, qpos, qvel);
}

void StochLiteEnvironment::BeginEpisode() {
  generator_.Reset();
  plane().Reset();
  UpdatePlane({true, true, true, true});
  commanded_heading_rad_ = 0;
  Measure();
}

void StochLiteEnvironment::Actuate(std::span<const double> action, std::span<double> command) {
  std::ranges::copy(SolveLegs(generator_.Step(GaitFromAction(action))), command.begin());
  commanded_heading_rad_ += draw().command.yaw_rate_rad_s * kControlPeriod_s;
  Push();
}

void StochLiteEnvironment::AfterSimulation() {
  PerLeg<bool> on_ground;
  for (const Leg leg : kLegs) {
    on_ground[Index(leg)] = generator_.InFirmStance(leg);
  }
  UpdatePlane(on_ground);
  Measure();
}

void StochLiteEnvironment::Measure() {
  Attitude attitude = TorsoAttitude();
  attitude.yaw_rad = WrapAngle(attitude.yaw_rad - commanded_heading_rad_);
  const Vector3 velocity = {qvel()[0], qvel()[1], qvel()[2]};
  const Vector3 turning = TorsoToHeading(attitude, {qvel()[3], qvel()[4], qvel()[5]});
  state_ = {.height_m = TorsoHeight_m(),
            .attitude = attitude,
            .velocity_m_s = TurnAboutVertical(velocity, -commanded_heading_rad_),
            .angular_velocity_rad_s = TurnAboutVertical(turning, attitude.yaw_rad),
            .plane = plane().angles(),
            .command = draw().command,
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
  return PackMemory(Memory{draw(), generator_.state(), plane().state(), commanded_heading_rad_});
}

void StochLiteEnvironment::RestoreTask(std::span<const double> values) {
  const auto memory = UnpackMemory<Memory>(values);
  SetDraw(memory.draw);
  generator_.set_state(memory.gait);
  plane().set_state(memory.plane);
  commanded_heading_rad_ = memory.commanded_heading_rad;
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
  return {.reward = StepReward(state_, draw().slope, JointPower_w())};
}

}  // namespace demorl::stochlite
