#include <algorithm>

#include "common/env/tasks/humanoid_body.h"
#include "common/env/tasks/tasks.h"

namespace demorl {
namespace {

constexpr double kControlCost = 0.1;
constexpr double kImpactCost = 0.5e-6;
constexpr double kMaxImpactCost = 10;

struct Options {
  HumanoidObservation observation = HumanoidObservation::kWithoutWorld;
};

class HumanoidStandup final : public MujocoEnvironment {
 public:
  HumanoidStandup(EnvironmentSpec spec, MujocoSetup setup, MjModelHandle model, uint64_t seed,
                  Options options)
      : MujocoEnvironment(std::move(spec), std::move(setup), std::move(model), seed), options_(options) {}

 protected:
  void Observe(std::span<double> observation) const override {
    ObserveHumanoid(model(), data(), options_.observation, observation);
  }

  Outcome Evaluate(std::span<const double> command, const Anchor&, const Anchor&) const override {
    // Height over the simulation's time step, not over the control period: Gymnasium's own definition.
    const double height_reward = qpos()[2] / model().opt.timestep;
    const double impact_cost = std::min(kImpactCost * SumOfSquares(cfrc_ext()), kMaxImpactCost);
    return {.reward = height_reward - kControlCost * SumOfSquares(command) - impact_cost + 1};
  }

 private:
  const Options options_;
};

NativeTask Task(std::string id, int observation_size, Options options) {
  return MujocoTask<HumanoidStandup>(
      SymmetricSpec(std::move(id), observation_size, 17, kHumanoidMaxCommand, absl::Milliseconds(15), 1000),
      NeverTerminates,
      {.model_file = "humanoidstandup.xml",
       .frame_skip = 5,
       .position_noise = 0.01,
       .velocity_noise = 0.01,
       .reads_contact_forces = true},
      options);
}

}  // namespace

std::vector<NativeTask> HumanoidStandupTasks() {
  return {Task("HumanoidStandup-v4", 376, {.observation = HumanoidObservation::kWithWorld}),
          Task("HumanoidStandup-v5", 348, {})};
}

}  // namespace demorl
