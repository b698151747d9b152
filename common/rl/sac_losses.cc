#include "common/rl/sac_losses.h"

namespace demorl {

at::Tensor CriticTarget(const CriticTargetInputs& inputs) {
  const at::Tensor next_value_B = inputs.min_next_q_B - inputs.entropy_temperature * inputs.next_log_prob_B;
  return inputs.reward_scale * inputs.reward_B + inputs.discount * (1 - inputs.terminated_B) * next_value_B;
}

at::Tensor CriticLoss(const at::Tensor& q_KB, const at::Tensor& target_B) {
  return 0.5 * (q_KB - target_B).square().mean(1).sum();
}

at::Tensor CriticLossGradient(const at::Tensor& q_KB, const at::Tensor& target_B) {
  return (q_KB - target_B) / static_cast<double>(target_B.size(0));
}

at::Tensor PolicyLoss(const at::Tensor& log_prob_B, const at::Tensor& min_q_B, double entropy_temperature) {
  return (entropy_temperature * log_prob_B - min_q_B).mean();
}

void PolicyLossGradient(const PolicyGradientInputs& inputs, at::Tensor mean_gradient_BA,
                        at::Tensor log_stddev_gradient_BA) {
  const double rows = static_cast<double>(inputs.action_BA.size(0));
  const at::Tensor squash_derivative_BA = 1 - inputs.action_BA.square();
  mean_gradient_BA.copy_(
      (2 * inputs.entropy_temperature * inputs.action_BA - squash_derivative_BA * inputs.q_gradient_BA) /
      rows);
  const at::Tensor inside_BA = at::logical_and(inputs.log_stddev_BA >= inputs.log_stddev_min,
                                               inputs.log_stddev_BA <= inputs.log_stddev_max);
  log_stddev_gradient_BA.copy_((mean_gradient_BA * inputs.deviation_BA - inputs.entropy_temperature / rows) *
                               inside_BA);
}

double TemperatureLoss(double log_entropy_temperature, double mean_log_prob, double target_entropy) {
  return -log_entropy_temperature * (mean_log_prob + target_entropy);
}

double TemperatureLossGradient(double mean_log_prob, double target_entropy) {
  return -(mean_log_prob + target_entropy);
}

at::Tensor ValueTarget(const at::Tensor& min_target_q_B, const at::Tensor& log_prob_B,
                       double entropy_temperature) {
  return min_target_q_B - entropy_temperature * log_prob_B;
}

}  // namespace demorl
