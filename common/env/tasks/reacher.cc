#include <cmath>

#include "common/env/tasks/tasks.h"

namespace demorl {
namespace {

constexpr double kTargetRadius = 0.2;     // m, of the disc from which targets are drawn
constexpr double kPositionNoise = 0.1;    // rad
constexpr double kVelocityNoise = 0.005;  // rad/s
constexpr size_t kNumJoints = 2;

struct Options {
  // v4: the distance is the one before the step, and the observation ends with a third, zero component.
  bool v4 = false;
};

class Reacher final : public MujocoEnvironment {
 public:
  Reacher(EnvironmentSpec spec, MujocoSetup setup, MjModelHandle model, uint64_t seed, Options options)
      : MujocoEnvironment(std::move(spec), std::move(setup), std::move(model), seed),
        options_(options),
        fingertip_(BodyIndex("fingertip")),
        target_(BodyIndex("target")) {}

 protected:
  // The last two positions are the target's.
  void DrawInitialState(Random& random, std::span<double> qpos, std::span<double> qvel) override {
    for (size_t i = 0; i < kNumJoints; ++i) {
      qpos[i] += random.Uniform(-kPositionNoise, kPositionNoise);
      qvel[i] += random.Uniform(-kVelocityNoise, kVelocityNoise);
    }
    double x, y;
    do {
      x = random.Uniform(-kTargetRadius, kTargetRadius);
      y = random.Uniform(-kTargetRadius, kTargetRadius);
    } while (std::hypot(x, y) >= kTargetRadius);
    qpos[kNumJoints] = x;
    qpos[kNumJoints + 1] = y;
  }

  void Observe(std::span<double> observation) const override {
    ObservationWriter writer(observation);
    writer.Append(std::cos(qpos()[0]));
    writer.Append(std::cos(qpos()[1]));
    writer.Append(std::sin(qpos()[0]));
    writer.Append(std::sin(qpos()[1]));
    writer.Append(qpos().subspan(kNumJoints));
    writer.Append(qvel().first(kNumJoints));
    for (int i = 0; i < (options_.v4 ? 3 : 2); ++i) {
      writer.Append(BodyPosition(fingertip_)[i] - BodyPosition(target_)[i]);
    }
  }

  // Distance of fingertip and target.
  Anchor MeasureAnchor() const override {
    const auto tip = BodyPosition(fingertip_), target = BodyPosition(target_);
    return {std::hypot(tip[0] - target[0], tip[1] - target[1], tip[2] - target[2])};
  }

  Outcome Evaluate(std::span<const double> command, const Anchor& before,
                   const Anchor& after) const override {
    return {.reward = -(options_.v4 ? before : after)[0] - SumOfSquares(command)};
  }

 private:
  const Options options_;
  const int fingertip_;
  const int target_;
};

NativeTask Task(std::string id, int observation_size, Options options) {
  return MujocoTask<Reacher>(
      SymmetricSpec(std::move(id), observation_size, 2, 1.0, absl::Milliseconds(20), 50), NeverTerminates,
      {.model_file = "reacher.xml", .frame_skip = 2}, options);
}

}  // namespace

std::vector<NativeTask> ReacherTasks() {
  return {Task("Reacher-v4", 11, {.v4 = true}), Task("Reacher-v5", 10, {})};
}

}  // namespace demorl
