#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "common/env/tasks/leg/leg_model.h"
#include "common/env/tasks/leg/leg_task.h"
#include "common/env/tasks/leg/leg_variants.h"
#include "common/env/tasks/tasks.h"

namespace demorl {
namespace {

// The leg's simulated twin.
class Leg2R final : public MujocoEnvironment {
 public:
  Leg2R(EnvironmentSpec spec, MjModelHandle model, uint64_t seed, const LegParameters& parameters)
      : MujocoEnvironment(std::move(spec), {}, std::move(model), seed), task_(parameters) {}

 protected:
  void DrawInitialState(Random& random, std::span<double> qpos, std::span<double>) override {
    const double noise = task_.parameters().reset_noise_rad;
    std::ranges::transform(task_.StartJointPositions(), qpos.begin(),
                           [&](double start) { return start + random.Uniform(-noise, noise); });
  }

  void BeginEpisode() override {
    task_.Reset();
    ShowDesiredFoot();
  }

  // The phase moves on here: nothing reads it until the simulation has followed.
  void Actuate(std::span<const double> action, std::span<double> command) override {
    std::ranges::copy(task_.JointTorques({action[0], action[1]}), command.begin());
    task_.Advance();
    ShowDesiredFoot();
  }

  void Observe(std::span<double> observation) const override { task_.Observe(State(), observation); }

  Outcome Evaluate(std::span<const double>, const Anchor&, const Anchor&) const override {
    const LegTask::Outcome outcome = task_.Evaluate(State());
    return {.reward = outcome.reward, .terminated = outcome.terminated};
  }

  std::vector<double> SaveTask() const override {
    const LegTask::Memory& memory = task_.memory();
    return {memory.phase, memory.last_action[0], memory.last_action[1],
            static_cast<double>(memory.elapsed_steps)};
  }

  void RestoreTask(std::span<const double> saved) override {
    task_.RestoreMemory({.phase = saved[0],
                         .last_action = {saved[1], saved[2]},
                         .elapsed_steps = static_cast<int64_t>(saved[3])});
  }

 private:
  LegState State() const { return {{qpos()[0], qpos()[1]}, {qvel()[0], qvel()[1]}}; }

  void ShowDesiredFoot() {
    const LegVector desired = task_.DesiredFootPosition();
    mutable_data().mocap_pos[0] = desired[0];
    mutable_data().mocap_pos[2] = desired[1];
  }

  LegTask task_;
};

// Variants differ in what they see; the bounds are those of the default.
template <LegObservation form>
bool IsOutOfBounds(std::span<const float> next_observation) {
  static constexpr LegParameters kParameters = {.observation = form};
  return IsLegOutOfBounds(kParameters, next_observation);
}

TerminationRule ChooseRule(const LegParameters& parameters) {
  // Such a task ends by a clock that no observation shows: planned rows never terminate, the real ones do.
  if (parameters.termination_free_steps > 0) {
    return NeverTerminates;
  }
  switch (parameters.observation) {
    case LegObservation::kTracking:
      return IsOutOfBounds<LegObservation::kTracking>;
    case LegObservation::kAuthors:
      return IsOutOfBounds<LegObservation::kAuthors>;
    case LegObservation::kWithoutAction:
      return IsOutOfBounds<LegObservation::kWithoutAction>;
    case LegObservation::kPositions:
      return IsOutOfBounds<LegObservation::kPositions>;
  }
  return nullptr;
}

}  // namespace

std::vector<NativeTask> Leg2RTasks() {
  std::vector<NativeTask> tasks;
  for (const LegVariant& variant : LegVariants()) {
    const LegParameters& parameters = variant.parameters;
    const EnvironmentSpec spec = MakeLegSpec(variant.environment_id, parameters);
    auto make = [spec, parameters](uint64_t seed) -> absl::StatusOr<std::unique_ptr<Environment>> {
      ASSIGN_OR_RETURN(MjModelHandle model, MakeLegModel(parameters));
      return std::unique_ptr<Environment>(std::make_unique<Leg2R>(spec, std::move(model), seed, parameters));
    };
    tasks.push_back({.spec = spec, .termination_rule = ChooseRule(parameters), .make = std::move(make)});
  }
  return tasks;
}

}  // namespace demorl
