#pragma once

#include <array>
#include <cstdint>

#include "ATen/ATen.h"
#include "common/base/random.h"
#include "common/rl/mlp.h"
#include "common/tensor/transition_chunk.h"

namespace demorl {

inline constexpr int kNumQ = 2;

// Sizes of the networks of SAC; value.inputs is 0 without a V network.
struct SacSizes {
  MlpSize policy, q, value;

  int64_t observation_size() const { return policy.inputs; }
  int64_t action_size() const { return q.inputs - policy.inputs; }
  bool has_value() const { return value.inputs > 0; }
};

// The buffers of an update of one batch size. Rows [0, B) of the doubled ones belong to s (or to the stored
// action), rows [B, 2B) to s' (or to the policy's action). Shapes as in sac_trainer.cc; I = O + A.
struct SacWorkspace {
  static SacWorkspace Allocate(const SacSizes& sizes, int64_t rows, at::Device device);

  // Fills the observations, the stored actions and, drawn from `random`, the noise.
  void Load(const TransitionBatch& batch, Random& random);
  // Writes a ~ pi(s) and a' ~ pi(s') beside their observations.
  void SetActions(const at::Tensor& action_2BA);

  int64_t rows = 0;
  at::Device device = at::kCPU;
  int64_t observation_size = 0;
  int64_t action_size = 0;

  at::Tensor staging_2BO, staging_actions_BA, staging_rewards_B, staging_terminated_B,
      staging_noise_2BA;  // CPU
  at::Tensor observations_2BO, rewards_B, terminated_B, noise_2BA;
  at::Tensor q_inputs_2BI;
  at::Tensor target_inputs_BI;  // (s', a'), then, with a V network, (s, a ~ pi)
  MlpActivations policy, policy_gradients;
  std::array<MlpActivations, 2> policy_halves;  // of s and of s'
  std::array<MlpActivations, kNumQ> q, q_of_stored, q_gradients, q_gradients_of_stored, q_gradients_of_new;
  std::array<MlpActivations, kNumQ> target_q;
  std::array<at::Tensor, kNumQ> action_gradients_BA;
  MlpActivations value, value_gradients;
};

}  // namespace demorl
