#pragma once

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/status_macros.h"
#include "common/env/environment.h"
#include "common/env/mujoco_environment.h"

namespace demorl {

// One native environment id.
struct NativeTask {
  EnvironmentSpec spec;
  TerminationRule termination_rule = nullptr;
  std::function<absl::StatusOr<std::unique_ptr<Environment>>(uint64_t seed)> make;
};

// The ids of each family of tasks: Gymnasium's, and what this project adds.
std::vector<NativeTask> InvertedPendulumTasks();
std::vector<NativeTask> InvertedDoublePendulumTasks();
std::vector<NativeTask> HopperTasks();
std::vector<NativeTask> HalfCheetahTasks();
std::vector<NativeTask> Walker2dTasks();
std::vector<NativeTask> AntTasks();
std::vector<NativeTask> HumanoidTasks();
std::vector<NativeTask> HumanoidStandupTasks();
std::vector<NativeTask> SwimmerTasks();
std::vector<NativeTask> ReacherTasks();
std::vector<NativeTask> PusherTasks();
std::vector<NativeTask> CartpoleSwingUpTasks();
std::vector<NativeTask> Leg2RTasks();
std::vector<NativeTask> StochLiteTasks();
std::vector<NativeTask> Stoch2Tasks();

inline bool NeverTerminates(std::span<const float>) { return false; }

// A specification with equal bounds +-`command_limit` on all actions.
inline EnvironmentSpec SymmetricSpec(std::string id, int observation_size, int action_size,
                                     double command_limit, absl::Duration control_period,
                                     int max_episode_steps) {
  return {.environment_id = std::move(id),
          .observation_size = observation_size,
          .action_size = action_size,
          .command_minimum = std::vector<double>(action_size, -command_limit),
          .command_maximum = std::vector<double>(action_size, command_limit),
          .control_period = control_period,
          .max_episode_steps = max_episode_steps};
}

// A task of class T, made by T::Create(spec, seed, options).
template <typename T, typename Options>
NativeTask VariantTask(EnvironmentSpec spec, TerminationRule rule, Options options) {
  auto make = [spec, options](uint64_t seed) -> absl::StatusOr<std::unique_ptr<Environment>> {
    return T::Create(spec, seed, options);
  };
  return {.spec = std::move(spec), .termination_rule = rule, .make = std::move(make)};
}

// A task of class T, constructed from (spec, setup, model, seed, options).
template <typename T, typename Options>
NativeTask MujocoTask(EnvironmentSpec spec, TerminationRule rule, MujocoSetup setup, Options options) {
  auto make = [spec, setup, options](uint64_t seed) -> absl::StatusOr<std::unique_ptr<Environment>> {
    ASSIGN_OR_RETURN(MjModelHandle model, LoadMjModel(setup.model_file));
    return std::unique_ptr<Environment>(std::make_unique<T>(spec, setup, std::move(model), seed, options));
  };
  return {.spec = std::move(spec), .termination_rule = rule, .make = std::move(make)};
}

}  // namespace demorl
