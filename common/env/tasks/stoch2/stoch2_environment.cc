#include "common/env/tasks/stoch2/stoch2_environment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <utility>

#include "common/base/status_macros.h"
#include "common/env/task_memory.h"
#include "common/env/tasks/stoch2/foot_path.h"

namespace demorl::stoch2 {
namespace {

using stochlite::Attitude;
using stochlite::Draw;
using stochlite::PlaneEstimate;
using stochlite::QuadrupedBody;

constexpr double kPi = std::numbers::pi;
constexpr double kMaxHeight_m = 0.7;

// All that the task remembers from one step to the next.
struct Memory {
  Draw draw;
  double gait_phase_rad = 0;
  PlaneEstimate::State plane;
  AttitudeHistory history;
  uint64_t noise_seed = 0;
  uint64_t num_observed = 0;
};

QuadrupedBody Stoch2Body() {
  QuadrupedBody body = {.model_file = "stoch2.xml", .leg = kStoch2Leg, .loaded_bodies = {"front", "back"}};
  for (const Leg leg : kLegs) {
    body.hips_m[Index(leg)] = HipPosition_m(leg);
  }
  return body;
}

// Whether a leg is in the middle half of its stance, in which its foot is surely on the ground.
bool InFirmStance(Leg leg, double gait_phase_rad) {
  return std::abs(LegPhase(leg, gait_phase_rad) - 1.5 * kPi) <= kPi / 4;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Stoch2Environment>> Stoch2Environment::Create(EnvironmentSpec spec,
                                                                             uint64_t seed,
                                                                             const TwinOptions& options) {
  QuadrupedBody body = Stoch2Body();
  ASSIGN_OR_RETURN(std::shared_ptr<mjModel> model,
                   OwnModel(body.model_file, kControlPeriod_s / options.simulation_steps));
  MujocoSetup setup{
      .model_file = body.model_file, .frame_skip = options.simulation_steps, .own_actuators = true};
  return std::unique_ptr<Stoch2Environment>(new Stoch2Environment(
      std::move(spec), std::move(setup), std::move(model), seed, std::move(body), options));
}

Stoch2Environment::Stoch2Environment(EnvironmentSpec spec, MujocoSetup setup, std::shared_ptr<mjModel> model,
                                     uint64_t seed, QuadrupedBody body, const TwinOptions& options)
    : QuadrupedEnvironment(std::move(spec), std::move(setup), std::move(model), seed, std::move(body)),
      options_(options) {}

void Stoch2Environment::DrawInitialState(Random& random, std::span<double> qpos, std::span<double> qvel) {
  const Draw draw = DrawEpisode(options_.randomisation, random);
  noise_seed_ = random.NextUint64();
  PerLeg<Vector3> feet;
  feet.fill({0, 0, kStanceHeight_m});
  StandAlongSlope(draw, feet, random, qpos, qvel);
}

void Stoch2Environment::BeginEpisode() {
  gait_phase_rad_ = 0;
  num_observed_ = 0;
  plane().Reset();
  UpdatePlane({true, true, true, true});
  Measure();
  history_.Begin(ObservedAttitude());
}

void Stoch2Environment::Actuate(std::span<const double> action, std::span<double> command) {
  const PerLeg<FootPath> paths = PathsFromAction(action);
  PerLeg<Vector3> feet;
  for (const Leg leg : kLegs) {
    feet[Index(leg)] = FootOnPath(leg, paths[Index(leg)], LegPhase(leg, gait_phase_rad_));
  }
  std::ranges::copy(SolveLegs(kStoch2Leg, feet), command.begin());
  Push();
}

void Stoch2Environment::AfterSimulation() {
  PerLeg<bool> on_ground;
  for (const Leg leg : kLegs) {
    on_ground[Index(leg)] = InFirmStance(leg, gait_phase_rad_);
  }
  UpdatePlane(on_ground);
  gait_phase_rad_ = std::fmod(gait_phase_rad_ + 2 * kPi * kGaitFrequency_hz * kControlPeriod_s, 2 * kPi);
  Measure();
  history_.Add(ObservedAttitude());
}

void Stoch2Environment::Measure() {
  state_ = {.attitude = TorsoAttitude(), .plane = plane().angles(), .height_m = TorsoHeight_m()};
}

Attitude Stoch2Environment::ObservedAttitude() {
  Attitude attitude = state_.attitude;
  if (options_.imu_noise_stddev_rad > 0) {
    // Follows from what is saved with the episode, so that a restored one observes the same.
    Random noise(SplitSeed(noise_seed_, "imu", num_observed_));
    for (double* angle : {&attitude.roll_rad, &attitude.pitch_rad, &attitude.yaw_rad}) {
      *angle += options_.imu_noise_stddev_rad * noise.Normal();
    }
  }
  ++num_observed_;
  return attitude;
}

std::vector<double> Stoch2Environment::SaveTask() const {
  return PackMemory(Memory{draw(), gait_phase_rad_, plane().state(), history_, noise_seed_, num_observed_});
}

void Stoch2Environment::RestoreTask(std::span<const double> values) {
  const auto memory = UnpackMemory<Memory>(values);
  SetDraw(memory.draw);
  gait_phase_rad_ = memory.gait_phase_rad;
  plane().set_state(memory.plane);
  history_ = memory.history;
  noise_seed_ = memory.noise_seed;
  num_observed_ = memory.num_observed;
}

void Stoch2Environment::Observe(std::span<double> observation) const {
  WriteObservation(history_, state_.plane, observation);
}

MujocoEnvironment::Outcome Stoch2Environment::Evaluate(std::span<const double>, const Anchor& before,
                                                       const Anchor& after) const {
  // By what is observed, in single precision, as a learned model's predictions are judged.
  const Attitude& observed = history_.attitudes().back();
  const bool leans_over = LeansOver({.roll_rad = static_cast<float>(observed.roll_rad),
                                     .pitch_rad = static_cast<float>(observed.pitch_rad)});
  if (leans_over || state_.height_m > kMaxHeight_m) {
    return {.reward = 0, .terminated = true};
  }
  return {.reward = StepReward(state_, draw().slope, after[0] - before[0])};
}

}  // namespace demorl::stoch2
