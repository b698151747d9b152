#include "services/sac_learner/core/sac_workspace.h"

#include <cstring>

namespace demorl {

SacWorkspace SacWorkspace::Allocate(const SacSizes& sizes, int64_t rows, at::Device device) {
  const int64_t observation_size = sizes.observation_size(), action_size = sizes.action_size();
  const auto cpu = at::TensorOptions(at::kFloat);
  const auto there = cpu.device(device);
  SacWorkspace work;
  work.rows = rows;
  work.device = device;
  work.observation_size = observation_size;
  work.action_size = action_size;
  work.staging_2BO = at::zeros({2 * rows, observation_size}, cpu);
  work.staging_actions_BA = at::zeros({rows, action_size}, cpu);
  work.staging_rewards_B = at::zeros({rows}, cpu);
  work.staging_terminated_B = at::zeros({rows}, cpu);
  work.staging_noise_2BA = at::zeros({2 * rows, action_size}, cpu);
  work.q_inputs_2BI = at::zeros({2 * rows, observation_size + action_size}, there);
  const int64_t target_rows = sizes.has_value() ? 2 * rows : rows;
  work.target_inputs_BI = at::zeros({target_rows, observation_size + action_size}, there);
  work.policy = MlpActivations::Allocate(sizes.policy, 2 * rows, device);
  work.policy_halves = {work.policy.Rows(0, rows), work.policy.Rows(rows, rows)};
  work.policy_gradients = MlpActivations::Allocate(sizes.policy, rows, device);
  for (int k = 0; k < kNumQ; ++k) {
    work.q[k] = MlpActivations::Allocate(sizes.q, 2 * rows, device);
    work.q_of_stored[k] = work.q[k].Rows(0, rows);
    work.q_gradients[k] = MlpActivations::Allocate(sizes.q, 2 * rows, device);
    work.q_gradients_of_stored[k] = work.q_gradients[k].Rows(0, rows);
    work.q_gradients_of_new[k] = work.q_gradients[k].Rows(rows, rows);
    work.target_q[k] = MlpActivations::Allocate(sizes.q, target_rows, device);
    work.action_gradients_BA[k] = at::zeros({rows, action_size}, there);
  }
  if (sizes.has_value()) {
    work.value = MlpActivations::Allocate(sizes.value, rows, device);
    work.value_gradients = MlpActivations::Allocate(sizes.value, rows, device);
  }
  return work;
}

void SacWorkspace::Load(const TransitionBatch& batch, Random& random) {
  float* observations = staging_2BO.data_ptr<float>();
  std::memcpy(observations, batch.observations.data(), batch.observations.size() * sizeof(float));
  std::memcpy(observations + batch.observations.size(), batch.next_observations.data(),
              batch.next_observations.size() * sizeof(float));
  std::memcpy(staging_actions_BA.data_ptr<float>(), batch.actions.data(),
              batch.actions.size() * sizeof(float));
  std::memcpy(staging_rewards_B.data_ptr<float>(), batch.rewards.data(), rows * sizeof(float));
  float* terminated = staging_terminated_B.data_ptr<float>();
  for (int64_t i = 0; i < rows; ++i) {
    terminated[i] = batch.terminated[i] != 0 ? 1.0f : 0.0f;
  }
  random.FillNormal({staging_noise_2BA.data_ptr<float>(), static_cast<size_t>(staging_noise_2BA.numel())});
  observations_2BO = staging_2BO.to(device);  // shares memory on the CPU
  rewards_B = staging_rewards_B.to(device);
  terminated_B = staging_terminated_B.to(device);
  noise_2BA = staging_noise_2BA.to(device);
  const at::Tensor s_BO = observations_2BO.narrow(0, 0, rows);
  const at::Tensor next_s_BO = observations_2BO.narrow(0, rows, rows);
  q_inputs_2BI.narrow(1, 0, observation_size).view({2, rows, observation_size}).copy_(s_BO.unsqueeze(0));
  q_inputs_2BI.narrow(0, 0, rows).narrow(1, observation_size, action_size).copy_(staging_actions_BA);
  target_inputs_BI.narrow(0, 0, rows).narrow(1, 0, observation_size).copy_(next_s_BO);
  if (target_inputs_BI.size(0) > rows) {
    target_inputs_BI.narrow(0, rows, rows).narrow(1, 0, observation_size).copy_(s_BO);
  }
}

void SacWorkspace::SetActions(const at::Tensor& action_2BA) {
  const at::Tensor new_actions_BA = action_2BA.narrow(0, 0, rows);
  q_inputs_2BI.narrow(0, rows, rows).narrow(1, observation_size, action_size).copy_(new_actions_BA);
  const at::Tensor target_actions = target_inputs_BI.narrow(1, observation_size, action_size);
  target_actions.narrow(0, 0, rows).copy_(action_2BA.narrow(0, rows, rows));
  if (target_inputs_BI.size(0) > rows) {
    target_actions.narrow(0, rows, rows).copy_(new_actions_BA);
  }
}

}  // namespace demorl
