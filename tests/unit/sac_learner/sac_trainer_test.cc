// One whole update against automatic differentiation of the losses: after the first step of Adam the first
// moments are 0.1 times the gradients, and the saved state shows them.

#include "services/sac_learner/core/sac_trainer.h"

#include <cmath>
#include <string>

#include "common/base/random.h"
#include "common/policy/mlp_policy.h"
#include "common/rl/sac_losses.h"
#include "common/rl/tanh_gaussian.h"
#include "common/rl/tensor_convert.h"
#include "common/rl/torch_state.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

constexpr int kObservations = 5, kActions = 3, kRows = 32;

SacSettings Settings() {
  return {.observation_size = kObservations,
          .action_size = kActions,
          .seed = 11,
          .hidden_sizes = {16, 12},
          .log_stddev_min = -5,
          .initial_entropy_temperature = 0.4,
          .target_entropy = -1.5,
          .reward_scale = 2,
          .value_network = true};
}

TransitionBatch MakeBatch() {
  Random random(3);
  TransitionBatch batch;
  batch.Resize(kRows, kObservations, kActions);
  random.FillNormal(batch.observations);
  random.FillNormal(batch.next_observations);
  random.FillNormal(batch.rewards);
  for (float& action : batch.actions) {
    action = static_cast<float>(random.Uniform(-1, 1));
  }
  for (int i = 0; i < kRows; ++i) {
    batch.terminated[i] = i % 4 == 0;
  }
  return batch;
}

// Layers of one network as leaves that record gradients.
struct Leaves {
  Leaves(const TorchState& state, const std::string& prefix, bool has_layer_norm = false)
      : layer_norm(has_layer_norm) {
    for (int layer = 0; state.tensors.count(prefix + "." + std::to_string(layer) + ".weight") != 0; ++layer) {
      for (const char* part : {".weight", ".bias"}) {
        tensors.push_back(
            state.tensors.at(prefix + "." + std::to_string(layer) + part).clone().set_requires_grad(true));
      }
    }
  }
  at::Tensor operator()(at::Tensor x) const {
    for (size_t i = 0; i < tensors.size(); i += 2) {
      x = at::matmul(x, tensors[i].t()) + tensors[i + 1];
      const bool is_hidden = i + 2 < tensors.size();
      x = is_hidden && layer_norm ? at::layer_norm(x, {x.size(1)}) : x;
      x = is_hidden ? x.relu() : x;
    }
    return x;
  }
  at::Tensor Gradient() const {
    std::vector<at::Tensor> flat;
    for (const at::Tensor& tensor : tensors) {
      flat.push_back(tensor.grad().reshape({-1}));
    }
    return at::cat(flat);
  }
  bool layer_norm;
  std::vector<at::Tensor> tensors;
};

void ExpectClose(const at::Tensor& actual, const at::Tensor& expected, const char* what) {
  ASSERT_EQ(actual.sizes(), expected.sizes()) << what;
  EXPECT_GT(expected.abs().max().item<double>(), 1e-4) << what;
  EXPECT_LT((actual - expected).abs().max().item<double>(), 1e-5) << what;
}

class SacTrainerGradientsTest : public ::testing::TestWithParam<bool> {};

TEST_P(SacTrainerGradientsTest, AreThoseOfAutomaticDifferentiation) {
  const bool layer_norm = GetParam();
  SacSettings settings = Settings();
  settings.critic_layer_norm = layer_norm;
  ASSERT_OK_AND_ASSIGN(const auto trainer, SacTrainer::Create(settings));
  ASSERT_OK_AND_ASSIGN(const TorchState before, DecodeTorchState(trainer->SaveState()));
  const TransitionBatch batch = MakeBatch();
  ASSERT_OK_AND_ASSIGN(const SacMetrics metrics, trainer->Update(batch));
  ASSERT_OK_AND_ASSIGN(const TorchState after, DecodeTorchState(trainer->SaveState()));

  const at::Tensor s = ToTensor(batch.observations, {kRows, kObservations});
  const at::Tensor next_s = ToTensor(batch.next_observations, {kRows, kObservations});
  const at::Tensor a = ToTensor(batch.actions, {kRows, kActions});
  at::Tensor noise = at::empty({2 * kRows, kActions}, at::kFloat);
  Random random(SplitSeed(11, "sac/noise"));
  random.FillNormal({noise.data_ptr<float>(), static_cast<size_t>(noise.numel())});
  const Leaves policy(before, "policy.0"), q0(before, "q.0", layer_norm), q1(before, "q.1", layer_norm),
      target0(before, "target_q.0", layer_norm), target1(before, "target_q.1", layer_norm),
      value(before, "value.0", layer_norm);
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
  ExpectClose(after.tensors.at("policy_adam.first_moment") / 0.1, policy.Gradient(), "policy");

  for (const Leaves* q : {&q0, &q1}) {
    for (const at::Tensor& tensor : q->tensors) {
      tensor.mutable_grad().zero_();
    }
  }
  const at::Tensor stored_input = at::cat({s, a}, 1);
  const at::Tensor critic_loss =
      CriticLoss(at::stack({q0(stored_input).squeeze(1), q1(stored_input).squeeze(1)}), target);
  critic_loss.backward();
  ExpectClose(after.tensors.at("q_adam.first_moment") / 0.1, at::cat({q0.Gradient(), q1.Gradient()}),
              "q functions");

  const at::Tensor value_target =
      ValueTarget(at::minimum(target0(new_input), target1(new_input)).squeeze(1), now.log_prob_B, alpha)
          .detach();
  CriticLoss(value(s).squeeze(1).unsqueeze(0), value_target).backward();
  ExpectClose(after.tensors.at("value_adam.first_moment") / 0.1, value.Gradient(), "V network");

  EXPECT_NEAR(metrics.critic_loss, critic_loss.item<double>(), 1e-5);
  EXPECT_NEAR(metrics.policy_loss, policy_loss.item<double>(), 1e-5);
  const double mean_log_prob = now.log_prob_B.mean().item<double>();
  EXPECT_NEAR(after.tensors.at("temperature_adam.first_moment").item<double>() / 0.1,
              TemperatureLossGradient(mean_log_prob, -1.5), 1e-4);
  // target <- target + tau (q - target), starting from equal weights.
  const at::Tensor q_move = after.tensors.at("q.1.0.weight") - before.tensors.at("q.1.0.weight");
  const at::Tensor target_move =
      after.tensors.at("target_q.1.0.weight") - before.tensors.at("target_q.1.0.weight");
  EXPECT_TRUE(at::allclose(target_move, 0.005 * q_move, 1e-2, 1e-7));
  EXPECT_GT(q_move.abs().max().item<double>(), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(CriticLayerNorm, SacTrainerGradientsTest, ::testing::Bool());

TEST(SacTrainerTest, ASnapshotsPolicyIsTheOneThatIsTrained) {
  ASSERT_OK_AND_ASSIGN(const auto trainer, SacTrainer::Create(Settings()));
  const TransitionBatch batch = MakeBatch();
  for (int i = 0; i < 50; ++i) {
    ASSERT_OK(trainer->Update(batch));
  }
  ASSERT_OK_AND_ASSIGN(const TorchState state, DecodeTorchState(trainer->SaveState()));
  ASSERT_OK_AND_ASSIGN(const auto policy,
                       MlpPolicy::Create(trainer->PolicyTensors(), kObservations, kActions));
  const at::Tensor s = ToTensor(batch.observations, {kRows, kObservations});
  const at::Tensor expected = Leaves(state, "policy.0")(s).narrow(1, 0, kActions).tanh().detach();
  for (int row = 0; row < kRows; ++row) {
    std::vector<float> action(kActions);
    policy->Mean({batch.observations.data() + row * kObservations, kObservations}, action);
    for (int i = 0; i < kActions; ++i) {
      EXPECT_NEAR(action[i], expected[row][i].item<float>(), 1e-5);
    }
  }
}

TEST(SacTrainerTest, GradientsAreScaledDownToTheLargestNorm) {
  SacSettings settings = Settings();
  settings.max_gradient_norm = 1e-3;
  ASSERT_OK_AND_ASSIGN(const auto trainer, SacTrainer::Create(settings));
  ASSERT_OK(trainer->Update(MakeBatch()));
  ASSERT_OK_AND_ASSIGN(const TorchState state, DecodeTorchState(trainer->SaveState()));
  EXPECT_NEAR(state.tensors.at("q_adam.first_moment").norm().item<double>(), 1e-4, 1e-8);
  EXPECT_NEAR(state.tensors.at("policy_adam.first_moment").norm().item<double>(), 1e-4, 1e-8);
}

}  // namespace
}  // namespace demorl
