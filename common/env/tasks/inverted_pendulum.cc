#include <cmath>

#include "common/env/tasks/tasks.h"

namespace demorl {
namespace {

constexpr double kMaxAngle = 0.2;  // rad

struct Options {
  bool rewards_failing_step = false;
};

// Observation: cart position, pole angle, and their velocities.
bool Terminated(std::span<const float> observation) {
  for (const float value : observation) {
    if (!std::isfinite(value)) {
      return true;
    }
  }
  return std::abs(observation[1]) > kMaxAngle;
}

class InvertedPendulum final : public MujocoEnvironment {
 public:
  InvertedPendulum(EnvironmentSpec spec, MujocoSetup setup, MjModelHandle model, uint64_t seed,
                   Options options)
      : MujocoEnvironment(std::move(spec), std::move(setup), std::move(model), seed), options_(options) {}

 protected:
  void Observe(std::span<double> observation) const override {
    ObservationWriter writer(observation);
    writer.Append(qpos());
    writer.Append(qvel());
  }

  Outcome Evaluate(std::span<const double>, const Anchor&, const Anchor&) const override {
    const bool finite = std::isfinite(SumOfSquares(qpos())) && std::isfinite(SumOfSquares(qvel()));
    const bool terminated = !finite || std::abs(qpos()[1]) > kMaxAngle;
    return {.reward = terminated && !options_.rewards_failing_step ? 0.0 : 1.0, .terminated = terminated};
  }

 private:
  const Options options_;
};

NativeTask Task(std::string id, Options options) {
  return MujocoTask<InvertedPendulum>(SymmetricSpec(std::move(id), 4, 1, 3.0, absl::Milliseconds(40), 1000),
                                      Terminated,
                                      {.model_file = "inverted_pendulum.xml",
                                       .frame_skip = 2,
                                       .position_noise = 0.01,
                                       .velocity_noise = 0.01},
                                      options);
}

}  // namespace

std::vector<NativeTask> InvertedPendulumTasks() {
  return {Task("InvertedPendulum-v4", {.rewards_failing_step = true}), Task("InvertedPendulum-v5", {})};
}

}  // namespace demorl
