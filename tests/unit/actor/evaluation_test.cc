#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "services/actor/core/environment_factory.h"
#include "tests/fakes/fake_environment.h"
#include "tests/fakes/fake_planner.h"
#include "tests/fakes/policies.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

EnvironmentFactory Fake(const FakeEnvironmentOptions& options = {}) {
  return [options](uint64_t seed) { return std::make_unique<FakeEnvironment>(options, seed); };
}

TEST(Evaluation, ReportsReturnsLengthsAndHowEpisodesEnded) {
  ASSERT_OK_AND_ASSIGN(const EvaluationResult result,
                       EvaluateOn(Fake(), ConstantPolicy(3, 2, 0.5f), {.num_episodes = 3}));
  ASSERT_EQ(result.returns.size(), 3u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_NEAR(result.returns[i], 7 * std::tanh(0.5), 1e-5);
    EXPECT_EQ(result.lengths[i], 7);
    EXPECT_TRUE(result.terminated[i]);
  }
  EXPECT_NEAR(result.mean_return(), 7 * std::tanh(0.5), 1e-5);
  EXPECT_NEAR(result.stddev_return(), 0, 1e-6);
  EXPECT_EQ(result.mean_length(), 7);
  EXPECT_EQ(result.observation_count, 3 * 8);
  EXPECT_EQ(result.observation_sum[1], 3 * 28);
  EXPECT_EQ(result.observation_sum_squares[1], 3 * 140);
}

TEST(Evaluation, SpreadsReturnsAsAPopulation) {
  EvaluationResult result{.returns = {1, 2, 3, 6}};
  EXPECT_EQ(result.mean_return(), 3);
  EXPECT_NEAR(result.stddev_return(), std::sqrt(14.0 / 4), 1e-12);
}

TEST(Evaluation, GivesTheSameResultWhateverTheNumberOfThreads) {
  const TensorFile policy = RandomPolicy(3, {16}, 2, 1);
  for (const bool stochastic : {false, true}) {
    const auto evaluate = [&](int num_threads, uint64_t seed) {
      return EvaluateOn(
          Fake(), policy,
          {.num_episodes = 9, .seed = seed, .stochastic = stochastic, .num_threads = num_threads});
    };
    ASSERT_OK_AND_ASSIGN(const EvaluationResult one, evaluate(1, 5));
    ASSERT_OK_AND_ASSIGN(const EvaluationResult four, evaluate(4, 5));
    ASSERT_OK_AND_ASSIGN(const EvaluationResult other, evaluate(1, 6));
    EXPECT_EQ(one.returns, four.returns);
    EXPECT_EQ(one.observation_sum, four.observation_sum);
    EXPECT_EQ(one.observation_sum_squares, four.observation_sum_squares);
    EXPECT_NE(one.returns, other.returns);
    EXPECT_NE(one.returns[0], one.returns[1]);
  }
}

TEST(Evaluation, StopsAtTheRequestedStepLimit) {
  ASSERT_OK_AND_ASSIGN(
      const EvaluationResult result,
      EvaluateOn(Fake(), ConstantPolicy(3, 2, 0.5f), {.num_episodes = 1, .max_episode_steps = 4}));
  EXPECT_EQ(result.lengths[0], 4);
  EXPECT_FALSE(result.terminated[0]);
}

TEST(Evaluation, EndsAnEpisodeBeforeANonFiniteStep) {
  ASSERT_OK_AND_ASSIGN(
      const EvaluationResult result,
      EvaluateOn(Fake({.non_finite_reward_at = 3}), ConstantPolicy(3, 2, 0.5f), {.num_episodes = 2}));
  EXPECT_EQ(result.lengths[0], 2);
  EXPECT_TRUE(std::isfinite(result.mean_return()));
}

TEST(Evaluation, StopsWhenItIsCancelled) {
  EXPECT_THAT(EvaluateOn(Fake({.episode_steps = std::numeric_limits<int>::max()}), ConstantPolicy(3, 2, 0.5f),
                         {.num_episodes = 2, .num_threads = 2, .cancelled = [] { return true; }}),
              StatusIs(absl::StatusCode::kCancelled, HasSubstr("cancelled")));
}

TEST(Evaluation, RefusesWhatItCannotRun) {
  const TensorFile policy = ConstantPolicy(3, 2, 0.5f);
  EXPECT_THAT(EvaluateOn(Fake(), policy, {.num_episodes = 0}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("num_episodes 0")));
  EXPECT_THAT(EvaluateOn(Fake({.max_episode_steps = 0}), policy, {}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("never end")));
  EXPECT_THAT(EvaluateOn(Fake(), ConstantPolicy(5, 2, 0.5f), {.num_threads = 3}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected [4, 3]")));
  EXPECT_THAT(EvaluateOn([](uint64_t) { return absl::NotFoundError("no such environment"); }, policy, {}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no such environment")));
}

TEST(Evaluation, ActsByPlansWhereThereArePlannersAndLooksAtNoPolicy) {
  const auto script = std::make_shared<FakePlannerScript>();
  script->answer = {.action = {0.25F, 0}};
  ASSERT_OK_AND_ASSIGN(
      const EvaluationResult result,
      EvaluateOn(Fake(), TensorFile(), {.num_episodes = 2, .planners = FakePlanners(script)}));
  EXPECT_EQ(result.returns, (std::vector<double>{7 * 0.25, 7 * 0.25}));
  ASSERT_EQ(script->questions.size(), 14);
  for (int i = 0; i < 14; ++i) {
    EXPECT_EQ(script->questions[i].first_step, i % 7 == 0);
  }
  script->status = absl::UnavailableError("no model yet");
  EXPECT_THAT(EvaluateOn(Fake(), TensorFile(), {.num_episodes = 2, .planners = FakePlanners(script)}),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("no model yet")));
}

}  // namespace
}  // namespace demorl
