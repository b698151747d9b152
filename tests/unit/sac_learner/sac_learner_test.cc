#include "services/sac_learner/core/sac_learner.h"

#include <cmath>
#include <limits>

#include "common/base/random.h"
#include "common/policy/mlp_policy.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

constexpr int kObservations = 2, kActions = 2;

SacLearner::Options MakeOptions(uint64_t seed = 1) {
  SacLearner::Options options;
  options.observation_size = kObservations;
  options.action_size = kActions;
  options.seed = seed;
  options.config.add_hidden_sizes(32);
  options.config.add_hidden_sizes(32);
  options.config.set_learning_rate(3e-3);
  options.config.set_max_non_finite(3);
  return options;
}

std::unique_ptr<SacLearner> MakeLearner(const SacLearner::Options& options) {
  auto learner = SacLearner::Create(options);
  EXPECT_OK(learner);
  return *std::move(learner);
}

// One-step episodes whose best action depends on the observation: a* = (0.5 s_0, -0.5 s_1).
TransitionBatch BanditBatch(Random& random, int rows = 64) {
  TransitionBatch batch;
  batch.Resize(rows, kObservations, kActions);
  for (int i = 0; i < rows; ++i) {
    float reward = 0;
    for (int j = 0; j < kActions; ++j) {
      const float observation = static_cast<float>(random.Uniform(-1, 1));
      const float action = static_cast<float>(random.Uniform(-1, 1));
      const float best = (j == 0 ? 0.5f : -0.5f) * observation;
      batch.observations[i * kObservations + j] = observation;
      batch.actions[i * kActions + j] = action;
      reward -= 5 * (action - best) * (action - best);
    }
    batch.rewards[i] = reward;
    batch.terminated[i] = 1;
  }
  return batch;
}

void Train(SacLearner& learner, Random& random, int updates) {
  for (int i = 0; i < updates; ++i) {
    ASSERT_OK(learner.Update(BanditBatch(random)));
  }
}

TEST(SacLearnerTest, FindsTheBestActionOfAQuadraticBandit) {
  const auto learner = MakeLearner(MakeOptions());
  Random random(5);
  Train(*learner, random, 1000);
  ASSERT_OK_AND_ASSIGN(const auto policy,
                       MlpPolicy::Create(learner->PolicyTensors(), kObservations, kActions));
  for (const auto& observation : {std::vector<float>{0.8f, 0.8f}, {-0.8f, 0.5f}, {0.0f, -0.9f}}) {
    std::vector<float> action(kActions);
    policy->Mean(observation, action);
    EXPECT_NEAR(action[0], 0.5 * observation[0], 0.12);
    EXPECT_NEAR(action[1], -0.5 * observation[1], 0.12);
  }
}

TEST(SacLearnerTest, TheTemperatureLeadsTheEntropyToItsTarget) {
  SacLearner::Options options = MakeOptions();
  options.config.set_target_entropy(-2.5);
  const auto learner = MakeLearner(options);
  Random random(5);
  Train(*learner, random, 1500);
  ASSERT_OK_AND_ASSIGN(const SacMetrics metrics, learner->Update(BanditBatch(random)));
  EXPECT_NEAR(metrics.entropy, -2.5, 0.5);
  EXPECT_LT(metrics.entropy_temperature, 0.9);
}

TEST(SacLearnerTest, AFixedTemperatureStays) {
  SacLearner::Options options = MakeOptions();
  options.config.set_learn_entropy_temperature(false);
  options.config.set_initial_entropy_temperature(0.25);
  const auto learner = MakeLearner(options);
  Random random(5);
  Train(*learner, random, 10);
  ASSERT_OK_AND_ASSIGN(const SacMetrics metrics, learner->Update(BanditBatch(random)));
  EXPECT_NEAR(metrics.entropy_temperature, 0.25, 1e-7);
}

TEST(SacLearnerTest, ATimeOutBootstrapsAndATerminationDoesNot) {
  // Reward 1 for ever: Q approaches 1 / (1 - 0.5) = 2 where episodes are cut by the clock, 1 where they
  // terminate.
  for (const bool terminated : {false, true}) {
    SacLearner::Options options = MakeOptions();
    options.config.set_discount(0.5);
    options.config.set_tau(0.05);
    options.config.set_learn_entropy_temperature(false);
    options.config.set_initial_entropy_temperature(1e-6);
    const auto learner = MakeLearner(options);
    Random random(5);
    SacMetrics metrics;
    for (int i = 0; i < 600; ++i) {
      TransitionBatch batch = BanditBatch(random);
      batch.next_observations = batch.observations;
      batch.rewards.assign(batch.num_rows, 1.0f);
      batch.terminated.assign(batch.num_rows, terminated);
      ASSERT_OK_AND_ASSIGN(metrics, learner->Update(batch));
    }
    EXPECT_NEAR(metrics.mean_q, terminated ? 1 : 2, 0.1);
  }
}

TEST(SacLearnerTest, TheSameSeedGivesTheSameWeightsAndAnotherDoesNot) {
  std::vector<std::string> states;
  for (const uint64_t seed : {1, 1, 2}) {
    const auto learner = MakeLearner(MakeOptions(seed));
    Random random(5);
    Train(*learner, random, 20);
    states.push_back(learner->SaveState());
  }
  EXPECT_EQ(states[0], states[1]);
  EXPECT_NE(states[0], states[2]);
}

TEST(SacLearnerTest, TheNumberOfThreadsChangesNoBit) {
  std::vector<std::string> states;
  for (const int num_threads : {1, 2}) {
    SacLearner::Options options = MakeOptions();
    options.config.set_num_threads(num_threads);
    const auto learner = MakeLearner(options);
    Random random(5);
    Train(*learner, random, 20);
    states.push_back(learner->SaveState());
  }
  EXPECT_EQ(states[0], states[1]);
}

TEST(SacLearnerTest, ARestoredLearnerContinuesBitByBit) {
  for (const bool value_network : {false, true}) {
    SacLearner::Options options = MakeOptions();
    options.config.set_value_network(value_network);
    options.config.set_target_update_interval(3);
    const auto uninterrupted = MakeLearner(options);
    Random random(5);
    Train(*uninterrupted, random, 10);
    const std::string state = uninterrupted->SaveState();
    options.seed = 99;
    const auto restored = MakeLearner(options);
    ASSERT_OK(restored->RestoreState(state));
    EXPECT_EQ(restored->num_updates(), 10);
    Random same_random = random;
    Train(*uninterrupted, random, 10);
    Train(*restored, same_random, 10);
    EXPECT_EQ(uninterrupted->SaveState(), restored->SaveState());
    EXPECT_NE(uninterrupted->SaveState(), state);
  }
}

TEST(SacLearnerTest, TargetsMoveAtTheirInterval) {
  SacLearner::Options options = MakeOptions();
  options.config.set_target_update_interval(3);
  const auto learner = MakeLearner(options);
  EXPECT_EQ(learner->ValueTensors().metadata.at("reward_scale"), "1");
  EXPECT_EQ(learner->ValueTensors().metadata.at("layer_norm"), "0");
  const std::vector<float> start = learner->ValueTensors().tensors.at("q.1.out.weight").values;
  Random random(5);
  Train(*learner, random, 2);
  EXPECT_EQ(learner->ValueTensors().tensors.at("q.1.out.weight").values, start);
  Train(*learner, random, 1);
  EXPECT_NE(learner->ValueTensors().tensors.at("q.1.out.weight").values, start);
}

TEST(SacLearnerTest, AStateOfOtherShapesIsRefusedAndNothingChanges) {
  const auto learner = MakeLearner(MakeOptions());
  SacLearner::Options options = MakeOptions();
  options.observation_size = 3;
  const auto other = MakeLearner(options);
  const std::string before = other->SaveState();
  EXPECT_THAT(other->RestoreState(learner->SaveState()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("[32,2]; needed: Float[32,3]")));
  options.config.set_value_network(true);
  EXPECT_THAT(MakeLearner(options)->RestoreState(before),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("tensors; needed")));
  EXPECT_THAT(other->RestoreState("rubbish"), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("state")));
  EXPECT_EQ(other->SaveState(), before);
}

TEST(SacLearnerTest, ABatchThatIsNotFiniteIsSkippedAndLeavesAllAsItWas) {
  const auto skipping = MakeLearner(MakeOptions()), plain = MakeLearner(MakeOptions());
  Random random(5), same_random(5);
  Train(*skipping, random, 3);
  Train(*plain, same_random, 3);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Random elsewhere(8);
    TransitionBatch batch = BanditBatch(elsewhere);
    batch.rewards[7] = bad;
    EXPECT_THAT(skipping->Update(batch), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("not finite")));
  }
  EXPECT_EQ(skipping->num_skipped(), 2);
  EXPECT_EQ(skipping->num_updates(), 3);
  EXPECT_EQ(skipping->PolicyTensors().tensors.at("policy.mean.weight").values,
            plain->PolicyTensors().tensors.at("policy.mean.weight").values);
  Train(*skipping, random, 3);
  Train(*plain, same_random, 3);
  EXPECT_EQ(skipping->PolicyTensors().tensors.at("policy.mean.weight").values,
            plain->PolicyTensors().tensors.at("policy.mean.weight").values);
}

TEST(SacLearnerTest, AFiniteBatchWithAnOverflowingLossLeavesAllAsItWas) {
  const auto skipping = MakeLearner(MakeOptions()), plain = MakeLearner(MakeOptions());
  Random random(5), same_random(5);
  TransitionBatch batch = BanditBatch(random);
  (void)BanditBatch(same_random);
  batch.rewards[0] = 1e30f;
  EXPECT_THAT(skipping->Update(batch), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("critic loss inf")));
  // Weights, moments, targets and the random stream: training goes on as if nothing had been.
  Train(*skipping, random, 3);
  Train(*plain, same_random, 3);
  EXPECT_EQ(skipping->PolicyTensors().tensors.at("policy.hidden.0.weight").values,
            plain->PolicyTensors().tensors.at("policy.hidden.0.weight").values);
  EXPECT_EQ(skipping->ValueTensors().tensors.at("q.0.out.weight").values,
            plain->ValueTensors().tensors.at("q.0.out.weight").values);
}

TEST(SacLearnerTest, GivesUpAfterSeveralBadBatchesInARowAndRecoversWithAGoodOne) {
  const auto learner = MakeLearner(MakeOptions());
  Random random(5);
  TransitionBatch bad = BanditBatch(random);
  bad.observations[0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(learner->Update(bad), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("")));
  EXPECT_OK(learner->Update(BanditBatch(random)));
  EXPECT_THAT(learner->Update(bad), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("")));
  EXPECT_THAT(learner->Update(bad), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("")));
  EXPECT_THAT(learner->Update(bad),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("3 batches in a row")));
  EXPECT_OK(learner->Update(BanditBatch(random)));
}

TEST(SacLearnerTest, ABatchOfOtherSizesIsRefused) {
  const auto learner = MakeLearner(MakeOptions());
  TransitionBatch batch;
  batch.Resize(4, kObservations + 1, kActions);
  EXPECT_THAT(learner->Update(batch), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("needed")));
  batch.Resize(4, kObservations, kActions);
  batch.rewards.pop_back();
  EXPECT_THAT(learner->Update(batch), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("columns")));
  EXPECT_EQ(learner->num_skipped(), 0);
}

TEST(SacLearnerTest, BatchSizesMayChange) {
  const auto learner = MakeLearner(MakeOptions());
  Random random(5);
  for (const int rows : {64, 1, 7, 64}) {
    EXPECT_OK(learner->Update(BanditBatch(random, rows)));
  }
}

TEST(SacLearnerTest, BadOptionsAreRefused) {
  SacLearner::Options options = MakeOptions();
  options.device = "tpu";
  EXPECT_THAT(SacLearner::Create(options), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("tpu")));
  options = MakeOptions();
  options.action_size = 0;
  EXPECT_THAT(SacLearner::Create(options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at least 1")));
  options = MakeOptions();
  options.config.set_log_stddev_min(3);
  EXPECT_THAT(SacLearner::Create(options),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("log_stddev_min")));
}

TEST(SacLearnerTest, AValueSnapshotHoldsTheTargetNetworks) {
  SacLearner::Options options = MakeOptions();
  options.config.set_value_network(true);
  const auto learner = MakeLearner(options);
  const TensorFile start = learner->ValueTensors();
  Random random(5);
  Train(*learner, random, 1);
  const TensorFile file = learner->ValueTensors();
  for (const char* name : {"q.0", "q.1", "v"}) {
    const std::string prefix = name;
    const int64_t inputs = prefix == "v" ? kObservations : kObservations + kActions;
    EXPECT_OK(FindTensor(file, prefix + ".hidden.0.weight", {32, inputs}));
    EXPECT_OK(FindTensor(file, prefix + ".hidden.1.bias", {32}));
    EXPECT_OK(FindTensor(file, prefix + ".out.weight", {1, 32}));
    EXPECT_OK(FindTensor(file, prefix + ".out.bias", {1}));
    // A target moves by at most tau * learning rate in the first update.
    const float move =
        file.tensors.at(prefix + ".out.bias").values[0] - start.tensors.at(prefix + ".out.bias").values[0];
    EXPECT_GT(std::abs(move), 0);
    EXPECT_LT(std::abs(move), 0.005 * 3.1e-3);
  }
  EXPECT_EQ(file.tensors.size(), 18u);
  EXPECT_NEAR(std::stod(file.metadata.at("entropy_temperature")), 1, 0.01);
}

}  // namespace
}  // namespace demorl
