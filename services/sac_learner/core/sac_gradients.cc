#include "services/sac_learner/core/sac_gradients.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <exception>

#include "c10/core/InferenceMode.h"
#include "common/rl/mlp.h"
#include "common/rl/sac_losses.h"

namespace demorl {

SacGradients::SacGradients(const SacSettings& settings, at::Device device, SacNetworks* networks)
    : settings_(settings),
      device_(device),
      networks_(*networks),
      pool_(device.is_cpu() ? std::min(settings.num_threads, 2) : 1, "sac-update") {}

SacMetrics SacGradients::Compute(const TransitionBatch& batch, Random& random) {
  c10::InferenceMode no_gradient_recording;
  const int64_t rows = batch.num_rows;
  if (work_.rows != rows) {
    work_ = SacWorkspace::Allocate(SizesOf(settings_), rows, device_);
  }
  work_.Load(batch, random);
  const TanhGaussianDraw draw_2B = DrawActions();
  const at::Tensor log_prob_B = draw_2B.log_prob_B.narrow(0, 0, rows);
  const QValues q = EvaluateQ();
  const double alpha = networks_.entropy_temperature();
  const at::Tensor target_B = CriticTarget({.reward_B = work_.rewards_B,
                                            .terminated_B = work_.terminated_B,
                                            .min_next_q_B = q.min_target.narrow(0, 0, rows),
                                            .next_log_prob_B = draw_2B.log_prob_B.narrow(0, rows, rows),
                                            .entropy_temperature = alpha,
                                            .discount = settings_.discount,
                                            .reward_scale = settings_.reward_scale});
  BackpropagateQ(q, target_B);
  CriticAndPolicyGradients(draw_2B, alpha);
  SacMetrics metrics = Figures(q, target_B, log_prob_B, alpha);
  if (networks_.value != nullptr) {
    metrics.value_loss = ValueGradients(ValueTarget(q.min_target.narrow(0, rows, rows), log_prob_B, alpha));
  }
  return metrics;
}

// task(0) and task(1), at once when there are two threads. Each does the same arithmetic in either case, so
// that the number of threads changes no bit of the weights.
template <typename Task>
void SacGradients::RunBoth(const Task& task) {
  std::array<std::exception_ptr, 2> errors;
  pool_.Run([&](int thread) {
    c10::InferenceMode no_gradient_recording;  // holds for one thread
    for (int i = thread; i < 2; i += pool_.num_threads()) {
      try {
        task(i);
      } catch (...) {
        errors[i] = std::current_exception();
      }
    }
  });
  for (const std::exception_ptr& error : errors) {
    if (error != nullptr) {
      std::rethrow_exception(error);
    }
  }
}

// a ~ pi(s) and a' ~ pi(s'), written beside their observations.
TanhGaussianDraw SacGradients::DrawActions() {
  const int64_t rows = work_.rows, action_size = settings_.action_size;
  RunBoth([&](int half) {
    Forward(networks_.policy.parameters[0], work_.observations_2BO.narrow(0, half * rows, rows),
            work_.policy_halves[half]);
  });
  const at::Tensor mean_2BA = work_.policy.output_BY.narrow(1, 0, action_size);
  const at::Tensor log_stddev_2BA = work_.policy.output_BY.narrow(1, action_size, action_size)
                                        .clamp(settings_.log_stddev_min, settings_.log_stddev_max);
  TanhGaussianDraw draw_2B = DrawTanhGaussian(mean_2BA, log_stddev_2BA, work_.noise_2BA);
  work_.SetActions(draw_2B.action_BA);
  return draw_2B;
}

SacGradients::QValues SacGradients::EvaluateQ() {
  RunBoth([this](int k) {
    Forward(networks_.q.target[k], work_.target_inputs_BI, work_.target_q[k]);
    Forward(networks_.q.parameters[k], work_.q_inputs_2BI, work_.q[k]);
  });
  const at::Tensor q_K2B = at::cat({work_.q[0].output_BY, work_.q[1].output_BY}, 1).t();
  return {.of_stored_KB = q_K2B.narrow(1, 0, work_.rows),
          .of_new_KB = q_K2B.narrow(1, work_.rows, work_.rows),
          .min_target = at::minimum(work_.target_q[0].output_BY, work_.target_q[1].output_BY).squeeze(1)};
}

// One backward pass of the q functions serves both losses: stored actions carry the critic's derivative, new
// ones that of min_k Q_k by the action.
void SacGradients::BackpropagateQ(const QValues& q, const at::Tensor& target_B) {
  const at::Tensor critic_gradient_KB = CriticLossGradient(q.of_stored_KB, target_B);
  const at::Tensor first_is_smaller_B = q.of_new_KB[0].le(q.of_new_KB[1]).to(at::kFloat);
  RunBoth([&](int k) {
    work_.q_gradients_of_stored[k].output_BY.squeeze(1).copy_(critic_gradient_KB[k]);
    work_.q_gradients_of_new[k].output_BY.squeeze(1).copy_(k == 0 ? first_is_smaller_B
                                                                  : 1 - first_is_smaller_B);
    BackpropagateHidden(networks_.q.parameters[k], work_.q[k], work_.q_gradients[k]);
    InputGradients(networks_.q.parameters[k], work_.q_gradients_of_new[k], settings_.observation_size,
                   settings_.action_size, work_.action_gradients_BA[k]);
  });
}

// The parameter gradients of the q functions cost as much as the policy's whole backward pass.
void SacGradients::CriticAndPolicyGradients(const TanhGaussianDraw& draw_2B, double entropy_temperature) {
  RunBoth([&](int task) {
    if (task == 0) {
      PolicyGradients(draw_2B, entropy_temperature);
      return;
    }
    for (int k = 0; k < kNumQ; ++k) {
      ParameterGradients(work_.q_inputs_2BI.narrow(0, 0, work_.rows), work_.q_of_stored[k],
                         work_.q_gradients_of_stored[k], networks_.q.gradients[k]);
    }
  });
}

void SacGradients::PolicyGradients(const TanhGaussianDraw& draw_2B, double entropy_temperature) {
  const int64_t rows = work_.rows, action_size = settings_.action_size;
  const MlpActivations& policy_of_s = work_.policy_halves[0];
  const at::Tensor& output_gradients = work_.policy_gradients.output_BY;
  PolicyLossGradient({.action_BA = draw_2B.action_BA.narrow(0, 0, rows),
                      .deviation_BA = draw_2B.deviation_BA.narrow(0, 0, rows),
                      .q_gradient_BA = work_.action_gradients_BA[0] + work_.action_gradients_BA[1],
                      .log_stddev_BA = policy_of_s.output_BY.narrow(1, action_size, action_size),
                      .log_stddev_min = settings_.log_stddev_min,
                      .log_stddev_max = settings_.log_stddev_max,
                      .entropy_temperature = entropy_temperature},
                     output_gradients.narrow(1, 0, action_size),
                     output_gradients.narrow(1, action_size, action_size));
  BackpropagateHidden(networks_.policy.parameters[0], policy_of_s, work_.policy_gradients);
  ParameterGradients(work_.observations_2BO.narrow(0, 0, rows), policy_of_s, work_.policy_gradients,
                     networks_.policy.gradients[0]);
}

// Returns the loss.
double SacGradients::ValueGradients(const at::Tensor& target_B) {
  NetworkGroup& value = *networks_.value;
  const at::Tensor s_BO = work_.observations_2BO.narrow(0, 0, work_.rows);
  Forward(value.parameters[0], s_BO, work_.value);
  const at::Tensor value_1B = work_.value.output_BY.t();
  work_.value_gradients.output_BY.copy_(CriticLossGradient(value_1B, target_B).t());
  BackpropagateHidden(value.parameters[0], work_.value, work_.value_gradients);
  ParameterGradients(s_BO, work_.value, work_.value_gradients, value.gradients[0]);
  return CriticLoss(value_1B, target_B).item<double>();
}

// All but the value's loss, by one copy from the device.
SacMetrics SacGradients::Figures(const QValues& q, const at::Tensor& target_B, const at::Tensor& log_prob_B,
                                 double entropy_temperature) const {
  const at::Tensor figures =
      at::stack({CriticLoss(q.of_stored_KB, target_B),
                 PolicyLoss(log_prob_B, std::get<0>(q.of_new_KB.min(0)), entropy_temperature),
                 log_prob_B.mean(), q.of_stored_KB.mean()})
          .to(at::kCPU);
  const float* figure = figures.data_ptr<float>();
  SacMetrics metrics;
  metrics.critic_loss = figure[0];
  metrics.policy_loss = figure[1];
  metrics.entropy = -figure[2];
  metrics.mean_q = figure[3];
  metrics.entropy_temperature = entropy_temperature;
  metrics.entropy_temperature_loss =
      TemperatureLoss(std::log(entropy_temperature), -metrics.entropy, settings_.target_entropy);
  return metrics;
}

}  // namespace demorl
