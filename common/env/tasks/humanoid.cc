#include <algorithm>

#include "common/env/tasks/humanoid_body.h"
#include "common/env/tasks/tasks.h"

namespace demorl {
namespace {

constexpr double kMinHeight = 1.0;  // m
constexpr double kMaxHeight = 2.0;  // m
constexpr double kForwardWeight = 1.25;
constexpr double kAlive = 5.0;
constexpr double kControlCost = 0.1;
constexpr double kContactCost = 5e-7;
constexpr double kMaxContactCost = 10;

struct Options {
  bool rewards_failing_step = false;
  bool contact_cost = true;
  HumanoidObservation observation = HumanoidObservation::kWithoutWorld;
};

bool IsHealthy(double height) { return kMinHeight < height && height < kMaxHeight; }

// Observation: height first.
bool Terminated(std::span<const float> observation) { return !IsHealthy(observation[0]); }

class Humanoid final : public MujocoEnvironment {
 public:
  Humanoid(EnvironmentSpec spec, MujocoSetup setup, MjModelHandle model, uint64_t seed, Options options)
      : MujocoEnvironment(std::move(spec), std::move(setup), std::move(model), seed), options_(options) {}

 protected:
  void Observe(std::span<double> observation) const override {
    ObserveHumanoid(model(), data(), options_.observation, observation);
  }

  // x of the centre of mass.
  Anchor MeasureAnchor() const override {
    double moment = 0, mass = 0;
    for (int body = 0; body < model().nbody; ++body) {
      moment += model().body_mass[body] * data().xipos[3 * body];
      mass += model().body_mass[body];
    }
    return {moment / mass};
  }

  Outcome Evaluate(std::span<const double> command, const Anchor& before,
                   const Anchor& after) const override {
    const bool healthy = IsHealthy(qpos()[2]);
    const double alive = healthy || options_.rewards_failing_step ? kAlive : 0.0;
    const double velocity = (after[0] - before[0]) / control_period();
    double reward = kForwardWeight * velocity + alive - kControlCost * SumOfSquares(command);
    if (options_.contact_cost) {
      reward -= std::min(kContactCost * SumOfSquares(cfrc_ext()), kMaxContactCost);
    }
    return {.reward = reward, .terminated = !healthy};
  }

 private:
  const Options options_;
};

NativeTask Task(std::string id, int observation_size, Options options) {
  return MujocoTask<Humanoid>(
      SymmetricSpec(std::move(id), observation_size, 17, kHumanoidMaxCommand, absl::Milliseconds(15), 1000),
      Terminated,
      {.model_file = "humanoid.xml",
       .frame_skip = 5,
       .position_noise = 0.01,
       .velocity_noise = 0.01,
       .reads_contact_forces = true},
      options);
}

}  // namespace

// HumanoidTruncatedObs is the 45-value form of MBPO [Janner et al. 2019].
std::vector<NativeTask> HumanoidTasks() {
  return {
      Task("Humanoid-v4", 376,
           {.rewards_failing_step = true,
            .contact_cost = false,
            .observation = HumanoidObservation::kWithWorld}),
      Task("Humanoid-v5", 348, {}),
      Task("HumanoidTruncatedObs-v5", 45, {.observation = HumanoidObservation::kPositionsAndVelocities}),
  };
}

}  // namespace demorl
