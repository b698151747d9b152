#include "common/env/tasks/tasks.h"

namespace demorl {
namespace {

constexpr double kMinHeight = 0.8;   // m
constexpr double kMaxHeight = 2.0;   // m
constexpr double kMaxAngle = 1.0;    // rad
constexpr double kMaxVelocity = 10;  // limit on observed velocities
constexpr double kControlCost = 1e-3;

struct Options {
  bool rewards_failing_step = false;
};

bool IsHealthy(double height, double angle) {
  return kMinHeight < height && height < kMaxHeight && -kMaxAngle < angle && angle < kMaxAngle;
}

// Observation: height, angle, six joints, nine velocities.
bool Terminated(std::span<const float> observation) { return !IsHealthy(observation[0], observation[1]); }

class Walker2d final : public MujocoEnvironment {
 public:
  Walker2d(EnvironmentSpec spec, MujocoSetup setup, MjModelHandle model, uint64_t seed, Options options)
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
    const bool healthy = IsHealthy(qpos()[1], qpos()[2]);
    const double alive = healthy || options_.rewards_failing_step ? 1.0 : 0.0;
    const double velocity = (after[0] - before[0]) / control_period();
    return {.reward = velocity + alive - kControlCost * SumOfSquares(command), .terminated = !healthy};
  }

 private:
  const Options options_;
};

NativeTask Task(std::string id, std::string model_file, Options options) {
  return MujocoTask<Walker2d>(
      SymmetricSpec(std::move(id), 17, 6, 1.0, absl::Milliseconds(8), 1000), Terminated,
      {.model_file = std::move(model_file), .frame_skip = 4, .position_noise = 5e-3, .velocity_noise = 5e-3},
      options);
}

}  // namespace

// The v5 model gives both feet the same friction.
std::vector<NativeTask> Walker2dTasks() {
  return {Task("Walker2d-v4", "walker2d.xml", {.rewards_failing_step = true}),
          Task("Walker2d-v5", "walker2d_v5.xml", {})};
}

}  // namespace demorl
