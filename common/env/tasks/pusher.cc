#include <cmath>

#include "common/env/tasks/tasks.h"

namespace demorl {
namespace {

constexpr size_t kNumJoints = 7;
constexpr double kVelocityNoise = 0.005;   // rad/s
constexpr double kMinGoalDistance = 0.17;  // m, of object and goal at the start
constexpr double kNearWeight = 0.5;
constexpr double kControlCost = 0.1;

struct Options {};

class Pusher final : public MujocoEnvironment {
 public:
  Pusher(EnvironmentSpec spec, MujocoSetup setup, MjModelHandle model, uint64_t seed, Options)
      : MujocoEnvironment(std::move(spec), std::move(setup), std::move(model), seed),
        tip_(BodyIndex("tips_arm")),
        object_(BodyIndex("object")),
        goal_(BodyIndex("goal")) {}

 protected:
  // Positions: seven joints, object (2), goal (2); the goal stays at the origin of its slides.
  void DrawInitialState(Random& random, std::span<double> qpos, std::span<double> qvel) override {
    double x, y;
    do {
      x = random.Uniform(-0.3, 0);
      y = random.Uniform(-0.2, 0.2);
    } while (std::hypot(x, y) <= kMinGoalDistance);
    qpos[kNumJoints] = x;
    qpos[kNumJoints + 1] = y;
    qpos[kNumJoints + 2] = 0;
    qpos[kNumJoints + 3] = 0;
    for (double& velocity : qvel.first(kNumJoints)) {
      velocity += random.Uniform(-kVelocityNoise, kVelocityNoise);
    }
  }

  void Observe(std::span<double> observation) const override {
    ObservationWriter writer(observation);
    writer.Append(qpos().first(kNumJoints));
    writer.Append(qvel().first(kNumJoints));
    writer.Append(BodyPosition(tip_));
    writer.Append(BodyPosition(object_));
    writer.Append(BodyPosition(goal_));
  }

  Outcome Evaluate(std::span<const double> command, const Anchor&, const Anchor&) const override {
    return {.reward = -Distance(object_, goal_) - kControlCost * SumOfSquares(command) -
                      kNearWeight * Distance(object_, tip_)};
  }

 private:
  double Distance(int body, int other) const {
    const auto a = BodyPosition(body), b = BodyPosition(other);
    return std::hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
  }

  const int tip_;
  const int object_;
  const int goal_;
};

}  // namespace

// There is no v4: its model does not run on MuJoCo 3, and Gymnasium refuses it there.
std::vector<NativeTask> PusherTasks() {
  return {MujocoTask<Pusher>(SymmetricSpec("Pusher-v5", 23, 7, 2.0, absl::Milliseconds(50), 100),
                             NeverTerminates, {.model_file = "pusher_v5.xml", .frame_skip = 5}, Options{})};
}

}  // namespace demorl
