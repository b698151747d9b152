#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/tensor/environment_spec.h"

namespace demorl {

enum class StepType { kFirst, kMid, kLast };

// What an environment answers at one control step. The observation is valid until the next call.
struct Timestep {
  StepType step_type = StepType::kFirst;
  double reward = 0;
  // The task ended: discount 0. Independent of `truncated`; both may be set at once.
  bool terminated = false;
  // The clock cut the episode: the value of the last observation still bootstraps.
  bool truncated = false;
  std::span<const double> observation;
};

// One environment. Thread-compatible; two environments never share mutable state.
class Environment {
 public:
  virtual ~Environment() = default;

  virtual const EnvironmentSpec& spec() const = 0;

  // Starts an episode drawn from the environment's own random stream, seeded at construction.
  virtual Timestep Reset() = 0;

  // `action` has spec().action_size values normalised to [-1, 1]; values outside are clipped. Calling Step
  // before Reset or after a last timestep is a bug of the caller.
  virtual Timestep Step(std::span<const double> action) = 0;

  // Everything that the future depends on: simulation, episode and random stream. A restored environment
  // continues bit by bit like the saved one. INVALID_ARGUMENT for a state of another task.
  virtual std::string SaveState() const = 0;
  virtual absl::Status RestoreState(absl::string_view state) = 0;
};

// The termination rule of a task as a function of what a learned model predicts: true where an episode that
// reaches `next_observation` has terminated. Pure and thread-safe.
using TerminationRule = bool (*)(std::span<const float> next_observation);

}  // namespace demorl
