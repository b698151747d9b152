#include "common/env/tasks/tasks.h"

namespace demorl {
namespace {

constexpr double kControlCost = 0.1;

struct Options {};

class HalfCheetah final : public MujocoEnvironment {
 public:
  HalfCheetah(EnvironmentSpec spec, MujocoSetup setup, MjModelHandle model, uint64_t seed, Options)
      : MujocoEnvironment(std::move(spec), std::move(setup), std::move(model), seed) {}

 protected:
  void Observe(std::span<double> observation) const override {
    ObservationWriter writer(observation);
    writer.Append(qpos().subspan(1));
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
  return MujocoTask<HalfCheetah>(SymmetricSpec(std::move(id), 17, 6, 1.0, absl::Milliseconds(50), 1000),
                                 NeverTerminates,
                                 {.model_file = "half_cheetah.xml",
                                  .frame_skip = 5,
                                  .position_noise = 0.1,
                                  .velocity_noise = 0.1,
                                  .normal_velocity_noise = true},
                                 Options{});
}

}  // namespace

// v4 and v5 are the same task: v5 changed only what Gymnasium reports beside it.
std::vector<NativeTask> HalfCheetahTasks() { return {Task("HalfCheetah-v4"), Task("HalfCheetah-v5")}; }

}  // namespace demorl
