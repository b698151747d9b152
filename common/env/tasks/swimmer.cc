#include "common/env/tasks/tasks.h"

namespace demorl {
namespace {

constexpr double kControlCost = 1e-4;

struct Options {};

class Swimmer final : public MujocoEnvironment {
 public:
  Swimmer(EnvironmentSpec spec, MujocoSetup setup, MjModelHandle model, uint64_t seed, Options)
      : MujocoEnvironment(std::move(spec), std::move(setup), std::move(model), seed) {}

 protected:
  void Observe(std::span<double> observation) const override {
    ObservationWriter writer(observation);
    writer.Append(qpos().subspan(2));
    writer.Append(qvel());
  }

  Anchor MeasureAnchor() const override { return {qpos()[0]}; }

  Outcome Evaluate(std::span<const double> command, const Anchor& before,
                   const Anchor& after) const override {
    const double velocity = (after[0] - before[0]) / control_period();
    return {.reward = velocity - kControlCost * SumOfSquares(command)};
  }
};

NativeTask Task(std::string id) {
  return MujocoTask<Swimmer>(
      SymmetricSpec(std::move(id), 8, 2, 1.0, absl::Milliseconds(40), 1000), NeverTerminates,
      {.model_file = "swimmer.xml", .frame_skip = 4, .position_noise = 0.1, .velocity_noise = 0.1},
      Options{});
}

}  // namespace

// v4 and v5 are the same task: v5 changed only what Gymnasium reports beside it.
std::vector<NativeTask> SwimmerTasks() { return {Task("Swimmer-v4"), Task("Swimmer-v5")}; }

}  // namespace demorl
