#include <cmath>

#include "common/env/tasks/tasks.h"

namespace demorl {
namespace {

constexpr double kMinTipHeight = 1.0;  // m
constexpr double kPoleLength = 0.6;    // m, of each of the two poles
constexpr double kMaxObserved = 10;    // limit on observed velocities and forces

struct Options {
  bool rewards_failing_step = false;
  // v4 shows the constraint force of all three joints, v5 that of the cart.
  bool observes_all_constraint_forces = false;
};

// Observation: cart position, sines of both joints, cosines of both joints, velocities, forces. The second
// joint's angle is relative to the first pole.
bool Terminated(std::span<const float> observation) {
  const double sin1 = observation[1], sin2 = observation[2], cos1 = observation[3], cos2 = observation[4];
  const double tip_height = kPoleLength * (cos1 + cos1 * cos2 - sin1 * sin2);
  return !(tip_height > kMinTipHeight);
}

class InvertedDoublePendulum final : public MujocoEnvironment {
 public:
  InvertedDoublePendulum(EnvironmentSpec spec, MujocoSetup setup, MjModelHandle model, uint64_t seed,
                         Options options)
      : MujocoEnvironment(std::move(spec), std::move(setup), std::move(model), seed), options_(options) {}

 protected:
  void Observe(std::span<double> observation) const override {
    ObservationWriter writer(observation);
    writer.Append(qpos()[0]);
    writer.Append(std::sin(qpos()[1]));
    writer.Append(std::sin(qpos()[2]));
    writer.Append(std::cos(qpos()[1]));
    writer.Append(std::cos(qpos()[2]));
    writer.AppendClipped(qvel(), kMaxObserved);
    const size_t num_forces = options_.observes_all_constraint_forces ? qvel().size() : 1;
    writer.AppendClipped({data().qfrc_constraint, num_forces}, kMaxObserved);
  }

  Outcome Evaluate(std::span<const double>, const Anchor&, const Anchor&) const override {
    const double x = data().site_xpos[0];
    const double y = data().site_xpos[2];
    const bool terminated = y <= kMinTipHeight;
    const double alive = terminated && !options_.rewards_failing_step ? 0.0 : 10.0;
    const double distance_penalty = 0.01 * x * x + (y - 2) * (y - 2);
    const double velocity_penalty = 1e-3 * qvel()[1] * qvel()[1] + 5e-3 * qvel()[2] * qvel()[2];
    return {.reward = alive - distance_penalty - velocity_penalty, .terminated = terminated};
  }

 private:
  const Options options_;
};

NativeTask Task(std::string id, int observation_size, Options options) {
  return MujocoTask<InvertedDoublePendulum>(
      SymmetricSpec(std::move(id), observation_size, 1, 1.0, absl::Milliseconds(50), 1000), Terminated,
      {.model_file = "inverted_double_pendulum.xml",
       .frame_skip = 5,
       .position_noise = 0.1,
       .velocity_noise = 0.1,
       .normal_velocity_noise = true},
      options);
}

}  // namespace

std::vector<NativeTask> InvertedDoublePendulumTasks() {
  return {Task("InvertedDoublePendulum-v4", 11,
               {.rewards_failing_step = true, .observes_all_constraint_forces = true}),
          Task("InvertedDoublePendulum-v5", 9, {})};
}

}  // namespace demorl
