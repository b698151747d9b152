#include <algorithm>
#include <cmath>

#include "common/env/tasks/tasks.h"

namespace demorl {
namespace {

constexpr double kMinHeight = 0.7;   // m
constexpr double kMaxAngle = 0.2;    // rad
constexpr double kMaxState = 100;    // of every other position and velocity
constexpr double kMaxVelocity = 10;  // limit on observed velocities
constexpr double kControlCost = 1e-3;

struct Options {
  bool rewards_failing_step = false;
};

bool Within(double value, double limit) { return -limit < value && value < limit; }

// Observation: height, angle, three joints, six velocities.
bool Terminated(std::span<const float> observation) {
  return !(observation[0] > kMinHeight && std::isfinite(observation[0]) &&
           Within(observation[1], kMaxAngle) &&
           std::ranges::all_of(observation.subspan(1), [](float value) { return Within(value, kMaxState); }));
}

class Hopper final : public MujocoEnvironment {
 public:
  Hopper(EnvironmentSpec spec, MujocoSetup setup, MjModelHandle model, uint64_t seed, Options options)
      : MujocoEnvironment(std::move(spec), std::move(setup), std::move(model), seed), options_(options) {}

 protected:
  void Observe(std::span<double> observation) const override {
    ObservationWriter writer(observation);
    writer.Append(qpos().subspan(1));
    writer.AppendClipped(qvel(), kMaxVelocity);
  }

  Anchor MeasureAnchor() const override { return {qpos()[0]}; }

  Outcome Evaluate(std::span<const double> command, const Anchor& before,
                   const Anchor& after) const override {
    const bool healthy = IsHealthy();
    const double alive = healthy || options_.rewards_failing_step ? 1.0 : 0.0;
    const double velocity = (after[0] - before[0]) / control_period();
    return {.reward = velocity + alive - kControlCost * SumOfSquares(command), .terminated = !healthy};
  }

 private:
  bool IsHealthy() const {
    const auto bounded = [](double value) { return Within(value, kMaxState); };
    return std::ranges::all_of(qpos().subspan(2), bounded) && std::ranges::all_of(qvel(), bounded) &&
           qpos()[1] > kMinHeight && std::isfinite(qpos()[1]) && Within(qpos()[2], kMaxAngle);
  }

  const Options options_;
};

NativeTask Task(std::string id, Options options) {
  return MujocoTask<Hopper>(
      SymmetricSpec(std::move(id), 11, 3, 1.0, absl::Milliseconds(8), 1000), Terminated,
      {.model_file = "hopper.xml", .frame_skip = 4, .position_noise = 5e-3, .velocity_noise = 5e-3}, options);
}

}  // namespace

std::vector<NativeTask> HopperTasks() {
  return {Task("Hopper-v4", {.rewards_failing_step = true}), Task("Hopper-v5", {})};
}

}  // namespace demorl
