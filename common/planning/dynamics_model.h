#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "common/base/random.h"

namespace demorl {

// Options of one batched model step.
struct ModelStepOptions {
  // Draw the next state from the predicted distribution, or take its mean; the same for the reward.
  bool sampled_next_state = true;
  bool sampled_reward = false;
};

// Result of one batched model step, row-major.
struct ModelStepResult {
  std::vector<float> rewards;            // [B]
  std::vector<float> next_observations;  // [B, O]
  std::vector<uint8_t> terminated;       // [B]
};

// A model of the environment that a planner can step in batches: the learned ensemble, or the true simulator.
// Thread-compatible.
class DynamicsModel {
 public:
  virtual ~DynamicsModel() = default;

  virtual int observation_size() const = 0;
  virtual int action_size() const = 0;

  // Members among which a planner draws; 1 for the simulator.
  virtual int num_elite_members() const = 0;

  // B rows. observations [B, O]; actions [B, A] normalised; members [B], each in [0, num_elite_members).
  // Random draws come from `random`. INTERNAL if the model itself fails; non-finite predictions are returned
  // as they are.
  virtual absl::Status Step(std::span<const float> observations, std::span<const float> actions,
                            std::span<const int> members, const ModelStepOptions& options, Random& random,
                            ModelStepResult* result) = 0;
};

}  // namespace demorl
