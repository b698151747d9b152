#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/base/trace_context.h"

namespace demorl {

// Where a row of D_MPC comes from.
struct PlannedProvenance {
  uint64_t dynamics_version = 0;
  int horizon_steps = 0;
  uint64_t planning_round = 0;
  // [n]; empty when not computed.
  std::vector<float> disagreement;
};

// n consecutive steps of one episode or of one planned rollout. O, A: sizes of observation and action.
struct Segment {
  uint64_t episode_id = 0;
  int first_step = 0;
  int num_steps = 0;
  // [n + 1, O] row-major: the next observation of step i is the observation of step i + 1, stored once.
  std::vector<float> observations;
  // [n, A], normalised to [-1, 1].
  std::vector<float> actions;
  // [n].
  std::vector<float> rewards;
  // [n]; 0 for random actions.
  std::vector<uint64_t> policy_versions;
  // Of the last step. Only `terminated` sets the discount to 0; a truncated step keeps bootstrapping.
  bool terminated = false;
  bool truncated = false;
  // An operator chose all actions, in place of a robot's policy.
  bool intervened = false;
  std::optional<PlannedProvenance> provenance;
};

// A packed piece of experience.
struct TransitionChunk {
  int observation_size = 0;
  int action_size = 0;
  std::vector<Segment> segments;
  // Where the chunk is traced: the span in which it was collected.
  std::optional<TraceContext> trace;

  int num_rows() const;
};

// Rows for one update, as columns. B rows.
struct TransitionBatch {
  int num_rows = 0;
  int observation_size = 0;
  int action_size = 0;
  std::vector<float> observations;       // [B, O]
  std::vector<float> actions;            // [B, A]
  std::vector<float> rewards;            // [B]
  std::vector<float> next_observations;  // [B, O]
  std::vector<uint8_t> terminated;       // [B]: 1 where the episode terminated
  std::vector<uint64_t> keys;            // [B]: position of the row in its table; may be empty
  std::vector<float> probabilities;      // [B]: of the draw; may be empty

  // Sets the sizes and allocates every column but `keys` and `probabilities`.
  void Resize(int rows, int observation_size, int action_size);
};

}  // namespace demorl
