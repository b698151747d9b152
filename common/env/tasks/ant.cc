#include <algorithm>
#include <cmath>

#include "common/env/tasks/tasks.h"

namespace demorl {
namespace {

constexpr double kMinHeight = 0.2;  // m
constexpr double kMaxHeight = 1.0;  // m
constexpr double kControlCost = 0.5;
constexpr double kContactCost = 5e-4;
constexpr double kMaxContactForce = 1.0;  // limit on each component, for cost and observation
constexpr int kStateSize = 27;            // 13 positions and 14 velocities

enum class ContactForces { kHidden, kShown, kShownWithWorld };

struct Options {
  bool rewards_failing_step = false;
  bool contact_cost = true;
  ContactForces contact_forces = ContactForces::kShown;
};

bool IsHeightHealthy(double height) { return kMinHeight <= height && height <= kMaxHeight; }

// Observation: height, orientation (4), eight joints, 14 velocities, then contact forces where they are
// shown.
bool Terminated(std::span<const float> observation) {
  return !IsHeightHealthy(observation[0]) ||
         !std::ranges::all_of(observation.first(kStateSize),
                              [](float value) { return std::isfinite(value); });
}

class Ant final : public MujocoEnvironment {
 public:
  Ant(EnvironmentSpec spec, MujocoSetup setup, MjModelHandle model, uint64_t seed, Options options)
      : MujocoEnvironment(std::move(spec), std::move(setup), std::move(model), seed),
        options_(options),
        torso_(BodyIndex("torso")) {}

 protected:
  void Observe(std::span<double> observation) const override {
    ObservationWriter writer(observation);
    writer.Append(qpos().subspan(2));
    writer.Append(qvel());
    if (options_.contact_forces != ContactForces::kHidden) {
      const size_t first = options_.contact_forces == ContactForces::kShownWithWorld ? 0 : 6;
      writer.AppendClipped(cfrc_ext().subspan(first), kMaxContactForce);
    }
  }

  Anchor MeasureAnchor() const override { return {BodyPosition(torso_)[0]}; }

  Outcome Evaluate(std::span<const double> command, const Anchor& before,
                   const Anchor& after) const override {
    const auto finite = [](double value) { return std::isfinite(value); };
    const bool healthy = IsHeightHealthy(qpos()[2]) && std::ranges::all_of(qpos(), finite) &&
                         std::ranges::all_of(qvel(), finite);
    const double alive = healthy || options_.rewards_failing_step ? 1.0 : 0.0;
    const double velocity = (after[0] - before[0]) / control_period();
    double reward = velocity + alive - kControlCost * SumOfSquares(command);
    if (options_.contact_cost) {
      reward -= ContactCost();
    }
    return {.reward = reward, .terminated = !healthy};
  }

 private:
  double ContactCost() const {
    double sum = 0;
    for (const double force : cfrc_ext()) {
      const double clipped = std::clamp(force, -kMaxContactForce, kMaxContactForce);
      sum += clipped * clipped;
    }
    return kContactCost * sum;
  }

  const Options options_;
  const int torso_;
};

NativeTask Task(std::string id, int observation_size, Options options) {
  return MujocoTask<Ant>(
      SymmetricSpec(std::move(id), observation_size, 8, 1.0, absl::Milliseconds(50), 1000), Terminated,
      {.model_file = "ant.xml",
       .frame_skip = 5,
       .position_noise = 0.1,
       .velocity_noise = 0.1,
       .normal_velocity_noise = true,
       .reads_contact_forces = options.contact_cost || options.contact_forces != ContactForces::kHidden},
      options);
}

}  // namespace

// AntTruncatedObs is the 27-value form of MBPO [Janner et al. 2019]: contact forces cost but are not seen.
// AntNoContact leaves them out of both; AntContactForces-v4 is v4 with its option use_contact_forces.
std::vector<NativeTask> AntTasks() {
  constexpr ContactForces kHidden = ContactForces::kHidden;
  return {
      Task("Ant-v4", 27, {.rewards_failing_step = true, .contact_cost = false, .contact_forces = kHidden}),
      Task("AntContactForces-v4", 111,
           {.rewards_failing_step = true, .contact_forces = ContactForces::kShownWithWorld}),
      Task("Ant-v5", 105, {}),
      Task("AntTruncatedObs-v5", 27, {.contact_forces = kHidden}),
      Task("AntNoContact-v5", 27, {.contact_cost = false, .contact_forces = kHidden}),
  };
}

}  // namespace demorl
