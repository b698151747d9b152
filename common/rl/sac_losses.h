#pragma once

// The losses of soft actor-critic, one pure function each, and their derivatives by the networks' outputs,
// from which the learner's backward pass starts.
//
// Source: [1] Haarnoja et al. 2018, "Soft Actor-Critic Algorithms and Applications" (arXiv 1812.05905);
//         [2] Haarnoja et al. 2018, "Soft Actor-Critic: Off-Policy ..." (arXiv 1801.01290), for V.
// Shapes: B rows, A action dimensions, K q functions. Losses are scalars, means over the rows, differentiable
// wherever their inputs record gradients.

#include "ATen/ATen.h"

namespace demorl {

// y = reward_scale * r + discount * (1 - terminated) * (min_k Q_target(s', a') - alpha log pi(a'|s')), a' ~
// pi(s') [1, eq. 2, 3 and 5]. terminated_B is 1 where the task ended. A truncated step is not terminated and
// bootstraps.
struct CriticTargetInputs {
  at::Tensor reward_B;
  at::Tensor terminated_B;
  at::Tensor min_next_q_B;
  at::Tensor next_log_prob_B;
  double entropy_temperature = 0;
  double discount = 0;
  double reward_scale = 1;
};
at::Tensor CriticTarget(const CriticTargetInputs& inputs);

// J_Q = sum_K mean_B 1/2 (Q_k - y)^2 [1, eq. 5], and its derivative by Q.
at::Tensor CriticLoss(const at::Tensor& q_KB, const at::Tensor& target_B);
at::Tensor CriticLossGradient(const at::Tensor& q_KB, const at::Tensor& target_B);

// J_pi = mean_B (alpha log pi(a|s) - min_k Q_k(s, a)), a = tanh(mean + stddev * noise) [1, eq. 9].
at::Tensor PolicyLoss(const at::Tensor& log_prob_B, const at::Tensor& min_q_B, double entropy_temperature);

// The derivative of J_pi by the policy's mean and its unclipped log_stddev, given that of min_k Q_k by the
// action:
//   dJ/du = (2 alpha a - (1 - a^2) dQ/da) / B, dJ/dmean = dJ/du,
//   dJ/dlog_stddev = dJ/du * deviation - alpha / B inside [log_stddev_min, log_stddev_max], 0 outside.
struct PolicyGradientInputs {
  at::Tensor action_BA;
  at::Tensor deviation_BA;   // stddev * noise
  at::Tensor q_gradient_BA;  // d min_k Q_k / da, one row's own q
  at::Tensor log_stddev_BA;  // before clipping
  double log_stddev_min = 0;
  double log_stddev_max = 0;
  double entropy_temperature = 0;
};
void PolicyLossGradient(const PolicyGradientInputs& inputs, at::Tensor mean_gradient_BA,
                        at::Tensor log_stddev_gradient_BA);

// Minimised by a larger alpha while the entropy -mean_log_prob is below its target, and its derivative by log
// alpha. Differs: [1, eq. 18] has alpha in place of log alpha; the authors' code uses log alpha, which moves
// as fast when alpha is small.
double TemperatureLoss(double log_entropy_temperature, double mean_log_prob, double target_entropy);
double TemperatureLossGradient(double mean_log_prob, double target_entropy);

// y = min_k Q_target(s, a) - alpha log pi(a|s), a ~ pi(s), for the V network [2, eq. 5], and
// J_V = mean_B 1/2 (V - y)^2, which is CriticLoss with K = 1.
at::Tensor ValueTarget(const at::Tensor& min_target_q_B, const at::Tensor& log_prob_B,
                       double entropy_temperature);

}  // namespace demorl
