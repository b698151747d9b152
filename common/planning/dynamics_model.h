#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"

namespace demorl {

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

  // Announces new rollouts: until the next call, row b of Step continues rollout b, which begins at start
  // state `start_indices[b]` of the caller. Only a model that keeps more than the observation of a row needs
  // it.
  virtual absl::Status BeginRollouts(std::span<const int> start_indices) {
    (void)start_indices;
    return absl::OkStatus();
  }

  // B rows. observations [B, O]; actions [B, A] normalised; members [B], each in [0, num_elite_members).
  // draws [B, 1 + O]: how many predicted standard deviations the reward (first) and the change of each
  // observation lie from their predicted means; empty for the means. The caller draws them, so that a result
  // depends neither on how rows are batched nor on threads. INTERNAL if the model itself fails; non-finite
  // predictions are returned as they are.
  virtual absl::Status Step(std::span<const float> observations, std::span<const float> actions,
                            std::span<const int> members, std::span<const float> draws,
                            ModelStepResult* result) = 0;
};

}  // namespace demorl
