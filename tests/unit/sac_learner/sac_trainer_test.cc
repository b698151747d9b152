#include "services/sac_learner/core/sac_trainer.h"

#include <vector>

#include "common/policy/mlp_policy.h"
#include "common/rl/sac_losses.h"
#include "common/rl/tensor_convert.h"
#include "common/rl/torch_state.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/sac_learner/sac_test_networks.h"

namespace demorl {
namespace {

using ::demorl::testing::kActions;
using ::demorl::testing::kObservations;
using ::demorl::testing::kRows;
using ::demorl::testing::Leaves;
using ::demorl::testing::MakeBatch;
using ::demorl::testing::SmallSac;

// After the first step of Adam a first moment is 0.1 times the gradient.
TEST(SacTrainerTest, AnUpdateMovesTheTemperatureAndTheAveragedCopies) {
  const SacSettings settings = SmallSac();
  ASSERT_OK_AND_ASSIGN(const auto trainer, SacTrainer::Create(settings));
  ASSERT_OK_AND_ASSIGN(const TorchState before, DecodeTorchState(trainer->SaveState()));
  ASSERT_OK_AND_ASSIGN(const SacMetrics metrics, trainer->Update(MakeBatch()));
  ASSERT_OK_AND_ASSIGN(const TorchState after, DecodeTorchState(trainer->SaveState()));
  EXPECT_NEAR(after.tensors.at("temperature_adam.first_moment").item<double>() / 0.1,
              TemperatureLossGradient(-metrics.entropy, settings.target_entropy), 1e-4);
  // target <- target + tau (q - target), starting from equal weights.
  const at::Tensor q_move = after.tensors.at("q.1.0.weight") - before.tensors.at("q.1.0.weight");
  const at::Tensor target_move =
      after.tensors.at("target_q.1.0.weight") - before.tensors.at("target_q.1.0.weight");
  EXPECT_TRUE(at::allclose(target_move, 0.005 * q_move, 1e-2, 1e-7));
  EXPECT_GT(q_move.abs().max().item<double>(), 1e-4);
}

TEST(SacTrainerTest, ASnapshotsPolicyIsTheOneThatIsTrained) {
  ASSERT_OK_AND_ASSIGN(const auto trainer, SacTrainer::Create(SmallSac()));
  const TransitionBatch batch = MakeBatch();
  for (int i = 0; i < 50; ++i) {
    ASSERT_OK(trainer->Update(batch));
  }
  ASSERT_OK_AND_ASSIGN(const TorchState state, DecodeTorchState(trainer->SaveState()));
  ASSERT_OK_AND_ASSIGN(const auto policy,
                       MlpPolicy::Create(trainer->PolicyTensors(), kObservations, kActions));
  const at::Tensor s = ToTensor(batch.observations, {kRows, kObservations});
  const at::Tensor expected = Leaves(state.tensors, "policy.0")(s).narrow(1, 0, kActions).tanh().detach();
  for (int row = 0; row < kRows; ++row) {
    std::vector<float> action(kActions);
    policy->Mean({batch.observations.data() + row * kObservations, kObservations}, action);
    for (int i = 0; i < kActions; ++i) {
      EXPECT_NEAR(action[i], expected[row][i].item<float>(), 1e-5);
    }
  }
}

TEST(SacTrainerTest, GradientsAreScaledDownToTheLargestNorm) {
  SacSettings settings = SmallSac();
  settings.max_gradient_norm = 1e-3;
  ASSERT_OK_AND_ASSIGN(const auto trainer, SacTrainer::Create(settings));
  ASSERT_OK(trainer->Update(MakeBatch()));
  ASSERT_OK_AND_ASSIGN(const TorchState state, DecodeTorchState(trainer->SaveState()));
  EXPECT_NEAR(state.tensors.at("q_adam.first_moment").norm().item<double>(), 1e-4, 1e-8);
  EXPECT_NEAR(state.tensors.at("policy_adam.first_moment").norm().item<double>(), 1e-4, 1e-8);
}

}  // namespace
}  // namespace demorl
