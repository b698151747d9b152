// The backward pass that is written out, against automatic differentiation of the losses.

#include "services/sac_learner/core/sac_gradients.h"

#include <map>
#include <string>

#include "common/base/random.h"
#include "common/rl/sac_losses.h"
#include "common/rl/tanh_gaussian.h"
#include "common/rl/tensor_convert.h"
#include "gtest/gtest.h"
#include "tests/unit/sac_learner/sac_test_networks.h"

namespace demorl {
namespace {

using ::demorl::testing::kActions;
using ::demorl::testing::kObservations;
using ::demorl::testing::kRows;
using ::demorl::testing::Leaves;
using ::demorl::testing::MakeBatch;
using ::demorl::testing::SmallSac;

void ExpectClose(const at::Tensor& actual, const at::Tensor& expected, const char* what) {
  ASSERT_EQ(actual.sizes(), expected.sizes()) << what;
  EXPECT_GT(expected.abs().max().item<double>(), 1e-4) << what;
  EXPECT_LT((actual - expected).abs().max().item<double>(), 1e-5) << what;
}

class SacGradientsTest : public ::testing::TestWithParam<bool> {};

TEST_P(SacGradientsTest, AreThoseOfAutomaticDifferentiation) {
  const bool layer_norm = GetParam();
  SacSettings settings = SmallSac();
  settings.critic_layer_norm = layer_norm;
  SacNetworks networks = SacNetworks::Make(settings, at::kCPU);
  SacGradients gradients(settings, at::kCPU, &networks);
  const TransitionBatch batch = MakeBatch();
  Random noise_random(7);
  const SacMetrics metrics = gradients.Compute(batch, noise_random);
  const std::map<std::string, at::Tensor> weights = networks.StateTensors();

  const at::Tensor s = ToTensor(batch.observations, {kRows, kObservations});
  const at::Tensor next_s = ToTensor(batch.next_observations, {kRows, kObservations});
  const at::Tensor a = ToTensor(batch.actions, {kRows, kActions});
  at::Tensor noise = at::empty({2 * kRows, kActions}, at::kFloat);
  Random random(7);
  random.FillNormal({noise.data_ptr<float>(), static_cast<size_t>(noise.numel())});
  const Leaves policy(weights, "policy.0"), q0(weights, "q.0", layer_norm), q1(weights, "q.1", layer_norm),
      target0(weights, "target_q.0", layer_norm), target1(weights, "target_q.1", layer_norm),
      value(weights, "value.0", layer_norm);
  const auto draw = [&](const at::Tensor& observations, const at::Tensor& draws) {
    const at::Tensor output = policy(observations);
    return DrawTanhGaussian(output.narrow(1, 0, kActions), output.narrow(1, kActions, kActions).clamp(-5, 2),
                            draws);
  };
  const TanhGaussianDraw now = draw(s, noise.narrow(0, 0, kRows));
  const TanhGaussianDraw next = draw(next_s, noise.narrow(0, kRows, kRows));

  const double alpha = 0.4;
  const at::Tensor next_input = at::cat({next_s, next.action_BA}, 1);
  const at::Tensor target =
      CriticTarget({.reward_B = ToTensor(batch.rewards, {kRows}),
                    .terminated_B = ToTensor(batch.terminated, {kRows}).to(at::kFloat),
                    .min_next_q_B = at::minimum(target0(next_input), target1(next_input)).squeeze(1),
                    .next_log_prob_B = next.log_prob_B,
                    .entropy_temperature = alpha,
                    .discount = 0.99,
                    .reward_scale = 2})
          .detach();
  const at::Tensor new_input = at::cat({s, now.action_BA}, 1);
  const at::Tensor new_q = at::minimum(q0(new_input), q1(new_input)).squeeze(1);
  const at::Tensor policy_loss = PolicyLoss(now.log_prob_B, new_q, alpha);
  policy_loss.backward();
  ExpectClose(networks.policy.gradients_P, policy.Gradient(), "policy");

  for (const Leaves* q : {&q0, &q1}) {
    for (const at::Tensor& tensor : q->tensors) {
      tensor.mutable_grad().zero_();
    }
  }
  const at::Tensor stored_input = at::cat({s, a}, 1);
  const at::Tensor critic_loss =
      CriticLoss(at::stack({q0(stored_input).squeeze(1), q1(stored_input).squeeze(1)}), target);
  critic_loss.backward();
  ExpectClose(networks.q.gradients_P, at::cat({q0.Gradient(), q1.Gradient()}), "q functions");

  const at::Tensor value_target =
      ValueTarget(at::minimum(target0(new_input), target1(new_input)).squeeze(1), now.log_prob_B, alpha)
          .detach();
  const at::Tensor value_loss = CriticLoss(value(s).squeeze(1).unsqueeze(0), value_target);
  value_loss.backward();
  ExpectClose(networks.value->gradients_P, value.Gradient(), "V network");

  EXPECT_NEAR(metrics.critic_loss, critic_loss.item<double>(), 1e-5);
  EXPECT_NEAR(metrics.policy_loss, policy_loss.item<double>(), 1e-5);
  EXPECT_NEAR(metrics.value_loss, value_loss.item<double>(), 1e-5);
  EXPECT_NEAR(metrics.entropy, -now.log_prob_B.mean().item<double>(), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(CriticLayerNorm, SacGradientsTest, ::testing::Bool());

TEST(SacGradientsThreadsTest, TheNumberOfThreadsChangesNoBit) {
  const TransitionBatch batch = MakeBatch();
  at::Tensor gradients_of_one;
  for (const int num_threads : {1, 2}) {
    SacSettings settings = SmallSac();
    settings.num_threads = num_threads;
    SacNetworks networks = SacNetworks::Make(settings, at::kCPU);
    Random random(7);
    SacGradients(settings, at::kCPU, &networks).Compute(batch, random);
    const at::Tensor gradients =
        at::cat({networks.policy.gradients_P, networks.q.gradients_P, networks.value->gradients_P});
    if (num_threads == 1) {
      gradients_of_one = gradients;
    }
    EXPECT_TRUE(at::equal(gradients, gradients_of_one));
  }
}

}  // namespace
}  // namespace demorl
