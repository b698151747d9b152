#include "common/planning/objectives.h"

#include <cmath>
#include <limits>
#include <numeric>

#include "common/base/random.h"
#include "common/planning/plan_noise.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pointwise;

DmdMpcOptions WithObjective(ObjectiveKind objective, double elite_ratio = 0.5) {
  return {.objective = objective, .elite_ratio = elite_ratio};
}

TEST(ObjectiveWeightsTest, UniformElitesShareTheWeightEqually) {
  const std::vector<double> returns = {1, 4, 3, -2};
  EXPECT_THAT(ObjectiveWeights(WithObjective(ObjectiveKind::kEliteUniform), returns),
              ElementsAre(0, 0.5, 0.5, 0));
}

TEST(ObjectiveWeightsTest, AtLeastOneSampleIsElite) {
  const std::vector<double> returns = {1, 4, 3};
  EXPECT_THAT(ObjectiveWeights(WithObjective(ObjectiveKind::kEliteUniform, 0.01), returns),
              ElementsAre(0, 1, 0));
}

TEST(ObjectiveWeightsTest, SamplesThatTieWithTheLastEliteAreElite) {
  const std::vector<double> returns = {3, 3, 1, 3};
  EXPECT_THAT(ObjectiveWeights(WithObjective(ObjectiveKind::kEliteUniform, 0.25), returns),
              Pointwise(DoubleNear(1e-12), {1.0 / 3, 1.0 / 3, 0.0, 1.0 / 3}));
}

TEST(ObjectiveWeightsTest, ReturnWeightedElitesUseReturnsWhileAllArePositive) {
  const std::vector<double> returns = {1, 6, 2, -5};
  EXPECT_THAT(ObjectiveWeights(WithObjective(ObjectiveKind::kEliteReturnWeighted), returns),
              ElementsAre(0, 0.75, 0.25, 0));
}

TEST(ObjectiveWeightsTest, ReturnWeightedElitesAreMeasuredFromTheWorstSampleOtherwise) {
  // Elites -1 and -2, worst sample -5: 4 and 3 above it.
  const std::vector<double> returns = {-2, -5, -1, -4};
  const std::vector<double> weights =
      ObjectiveWeights(WithObjective(ObjectiveKind::kEliteReturnWeighted), returns);
  EXPECT_THAT(weights, Pointwise(DoubleNear(1e-12), {3.0 / 7, 0.0, 4.0 / 7, 0.0}));
}

TEST(ObjectiveWeightsTest, ReturnWeightedElitesOfEqualNegativeReturnsAreUniform) {
  const std::vector<double> returns = {-3, -3};
  EXPECT_THAT(ObjectiveWeights(WithObjective(ObjectiveKind::kEliteReturnWeighted, 1.0), returns),
              ElementsAre(0.5, 0.5));
}

TEST(ObjectiveWeightsTest, ABetterSampleNeverGetsLessWeight) {
  Random random(7);
  for (const ObjectiveKind kind :
       {ObjectiveKind::kEliteUniform, ObjectiveKind::kEliteReturnWeighted, ObjectiveKind::kSoftmax}) {
    for (int trial = 0; trial < 200; ++trial) {
      std::vector<double> returns(12);
      const double shift = random.Uniform(-3, 3);
      for (double& value : returns) {
        value = random.Normal() + shift;
      }
      const std::vector<double> weights =
          ObjectiveWeights(WithObjective(kind, random.Uniform(0.05, 1)), returns);
      EXPECT_NEAR(std::accumulate(weights.begin(), weights.end(), 0.0), 1, 1e-12);
      for (size_t i = 0; i < returns.size(); ++i) {
        for (size_t j = 0; j < returns.size(); ++j) {
          if (returns[i] > returns[j]) {
            EXPECT_GE(weights[i], weights[j]);
          }
        }
      }
    }
  }
}

TEST(ObjectiveWeightsTest, CostWeightsFavourTheWorstEliteWhereReturnsAreNegative) {
  // Eq. 14 as printed: costs 1 and 3.
  const std::vector<double> returns = {-1, -3, -10, -20};
  EXPECT_THAT(ObjectiveWeights(WithObjective(ObjectiveKind::kEliteCostWeighted), returns),
              ElementsAre(0.25, 0.75, 0, 0));
}

TEST(ObjectiveWeightsTest, CostWeightsFallBackToUniformWhereTheirSumVanishes) {
  const std::vector<double> returns = {1, -1 - 1e-9, -10, -20};
  EXPECT_THAT(ObjectiveWeights(WithObjective(ObjectiveKind::kEliteCostWeighted), returns),
              ElementsAre(0.5, 0.5, 0, 0));
  const std::vector<double> zeros = {0, 0};
  EXPECT_THAT(ObjectiveWeights(WithObjective(ObjectiveKind::kEliteCostWeighted, 1.0), zeros),
              ElementsAre(0.5, 0.5));
  const std::vector<double> distinct = {2, -1, -10, -20};  // the sum -1 stands
  EXPECT_THAT(ObjectiveWeights(WithObjective(ObjectiveKind::kEliteCostWeighted), distinct),
              ElementsAre(2, -1, 0, 0));
}

TEST(ObjectiveWeightsTest, SoftmaxSurvivesReturnsThatWouldOverflow) {
  DmdMpcOptions options = WithObjective(ObjectiveKind::kSoftmax);
  options.mppi_temperature = 0.5;
  const std::vector<double> returns = {1e6, 1e6 - 1};
  const double ratio = std::exp(-2);
  EXPECT_THAT(ObjectiveWeights(options, returns),
              Pointwise(DoubleNear(1e-9), {1 / (1 + ratio), ratio / (1 + ratio)}));
}

TEST(ObjectiveWeightsTest, NonFiniteReturnsGetNoWeight) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<double> returns = {nan, 1, infinity, -infinity};
  for (const ObjectiveKind kind : {ObjectiveKind::kEliteUniform, ObjectiveKind::kEliteReturnWeighted,
                                   ObjectiveKind::kEliteCostWeighted, ObjectiveKind::kSoftmax}) {
    EXPECT_THAT(ObjectiveWeights(WithObjective(kind), returns), ElementsAre(0, 1, 0, 0));
  }
  const std::vector<double> none = {nan, -infinity};
  EXPECT_THAT(ObjectiveWeights(WithObjective(ObjectiveKind::kEliteUniform), none), IsEmpty());
  EXPECT_THAT(ObjectiveWeights(WithObjective(ObjectiveKind::kNone), none), IsEmpty());
}

TEST(HorizonScheduleTest, RisesFromFiveToFifteenOverFortyEpochs) {
  const EpochSchedule schedule = DmdMpcOptions().horizon;
  EXPECT_EQ(HorizonSteps(schedule, 0), 5);
  EXPECT_EQ(HorizonSteps(schedule, 3999), 5);
  for (int epoch = 4; epoch <= 40; epoch += 4) {
    EXPECT_EQ(HorizonSteps(schedule, epoch * 1000), 5 + epoch / 4) << epoch;
    EXPECT_EQ(HorizonSteps(schedule, epoch * 1000 - 1), 5 + epoch / 4 - 1) << epoch;
  }
  EXPECT_EQ(HorizonSteps(schedule, 1'000'000), 15);
}

TEST(HorizonScheduleTest, FollowsMbposTableForAnt) {
  const EpochSchedule schedule{.start_epoch = 20, .end_epoch = 100, .start_value = 1, .end_value = 25};
  EXPECT_EQ(HorizonSteps(schedule, 19'999), 1);
  EXPECT_EQ(HorizonSteps(schedule, 24'000), 2);  // 1 + 24 * 4 / 80 = 2.2
  EXPECT_EQ(HorizonSteps(schedule, 60'000), 13);
  EXPECT_EQ(HorizonSteps(schedule, 100'000), 25);
}

TEST(HorizonScheduleTest, IsConstantWhereBothEndsAreEqual) {
  EXPECT_EQ(HorizonSteps({.start_epoch = 0, .end_epoch = 0, .start_value = 5, .end_value = 5}, 7000), 5);
}

TEST(PlanNoiseTest, TruncatedNoiseStaysWithinTwoStandardDeviations) {
  Random random(3);
  std::vector<float> noise(20'000);
  FillPlanNoise(PlanNoiseKind::kTruncated, 1, 1, random, noise);
  double sum_squares = 0;
  for (const float value : noise) {
    ASSERT_LE(std::abs(value), 2);
    sum_squares += value * value;
  }
  // Variance of N(0, 1) cut at 2: 1 - 4 phi(2) / (2 Phi(2) - 1) = 0.7737; standard error below 0.006.
  EXPECT_NEAR(sum_squares / noise.size(), 0.7737, 0.025);
}

TEST(PlanNoiseTest, CorrelatedNoiseFiltersFreshDrawsOverTime) {
  Random white_random(5);
  std::vector<float> white(6);
  FillPlanNoise(PlanNoiseKind::kWhite, 0, 2, white_random, white);
  Random random(5);
  std::vector<float> noise(6);
  FillPlanNoise(PlanNoiseKind::kTimeCorrelated, 0.7, 2, random, noise);
  EXPECT_NEAR(noise[0], 0.7 * white[0], 1e-6);
  EXPECT_NEAR(noise[2], 0.7 * white[2] + 0.3 * noise[0], 1e-6);
  EXPECT_NEAR(noise[5], 0.7 * white[5] + 0.3 * noise[3], 1e-6);
}

TEST(ValidateOptionsTest, AcceptsTheDefaults) { EXPECT_OK(ValidateOptions({})); }

TEST(ValidateOptionsTest, NamesTheSwitchesThatContradictEachOther) {
  EXPECT_THAT(ValidateOptions({.objective = ObjectiveKind::kNone, .keep_best = true}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("keep_best")));
  EXPECT_THAT(ValidateOptions({.closed_loop_rows = true}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("closed_loop_rows")));
  EXPECT_THAT(ValidateOptions({.model_draw = ModelDrawKind::kSimulator, .mask_terminations = false}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("simulator")));
  EXPECT_THAT(ValidateOptions({.num_particles = 4}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("num_particles = 4")));
  EXPECT_THAT(ValidateOptions({.refit_stddev = true, .average_noise = true}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("refit_stddev")));
  EXPECT_THAT(ValidateOptions({.horizon = {.start_value = 1, .end_value = 1},
                               .terminal_value = TerminalValueKind::kLastSlot}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("horizon")));
  EXPECT_THAT(ValidateOptions({.elite_ratio = 0}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("elite_ratio = 0")));
}

}  // namespace
}  // namespace demorl
