// The step of DMD-MPC: the rule by which candidates and their returns make the next plan.

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/planning/dmd_mpc.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/planning/dmd_mpc_bench.h"
#include "tests/unit/planning/planning_fakes.h"

namespace demorl {
namespace {

using ::demorl::testing::Bench;
using ::demorl::testing::FakeModel;
using ::demorl::testing::FakePolicy;
using ::demorl::testing::FakeRow;
using ::demorl::testing::GridOfStarts;
using ::demorl::testing::LinearQuadraticStep;
using ::demorl::testing::MakeTask;
using ::demorl::testing::SumStep;
using ::testing::Each;
using ::testing::FloatNear;
using ::testing::Pointwise;

double Mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) {
    sum += value;
  }
  return sum / values.size();
}

// Return of an open-loop plan on the noise-free linear-quadratic model, computed apart from the planner.
double LinearQuadraticReturn(float position, float velocity, const float* plan, int horizon,
                             double discount) {
  double total = 0;
  for (int h = 0; h < horizon; ++h) {
    total +=
        std::pow(discount, h) * (-position * position - 0.1 * velocity * velocity - 0.05 * plan[h] * plan[h]);
    position += 0.1F * velocity;
    velocity += 0.3F * plan[h];
  }
  return total;
}

TEST(DmdMpcTest, OneEliteStepImprovesTheReturnOfEveryObjectiveOnALinearQuadraticModel) {
  for (const ObjectiveKind objective :
       {ObjectiveKind::kEliteUniform, ObjectiveKind::kEliteReturnWeighted, ObjectiveKind::kSoftmax}) {
    Bench bench({.objective = objective, .mppi_temperature = 0.3, .noise_stddev = 0.3}, 2, 1,
                LinearQuadraticStep, /*gain=*/0);
    const std::vector<float> starts = GridOfStarts(40);
    const PlanningTask task = MakeTask(starts, 10);
    ASSERT_OK_AND_ASSIGN(const ImprovedPlans improved, bench.planner->Improve(task));
    std::vector<double> before;
    std::vector<double> after;
    const std::vector<float> zeros(10, 0.0F);
    for (int s = 0; s < 40; ++s) {
      before.push_back(LinearQuadraticReturn(starts[2 * s], starts[2 * s + 1], zeros.data(), 10, 0.99));
      after.push_back(
          LinearQuadraticReturn(starts[2 * s], starts[2 * s + 1], &improved.plans[s * 10], 10, 0.99));
    }
    EXPECT_GT(Mean(after), Mean(before) + 0.03) << static_cast<int>(objective);
  }
}

TEST(DmdMpcTest, MoreIterationsApproachTheOptimumOfTheLinearQuadraticModel) {
  const std::vector<float> starts = {1, 0};
  const auto planned_return = [&](int iterations) {
    Bench bench({.shift = ShiftKind::kZero,
                 .num_iterations = iterations,
                 .refit_stddev = true,
                 .terminal_value = TerminalValueKind::kNone,
                 .sampled_next_state = false},
                2, 1, LinearQuadraticStep);
    const auto improved = bench.planner->Improve(MakeTask(starts, 8));
    EXPECT_OK(improved);
    return LinearQuadraticReturn(1, 0, improved->plans.data(), 8, 0.99);
  };
  EXPECT_GT(planned_return(2), planned_return(1));
  EXPECT_GT(planned_return(12), planned_return(2));
}

TEST(DmdMpcTest, SoftmaxStepIsTheMeanOfModelPredictivePathIntegralControl) {
  // One step, x' = x + u, R = u: MPPI's mean over the sampled actions, computed from the candidates
  // themselves.
  const DmdMpcOptions options{.shift = ShiftKind::kPreviousPlan,
                              .objective = ObjectiveKind::kSoftmax,
                              .population_size = 64,
                              .mppi_temperature = 0.25,
                              .noise_stddev = 0.2,
                              .terminal_value = TerminalValueKind::kNone};
  std::vector<double> sampled;
  FakeModel model(1, 1, 1, [&](FakeRow& row) {
    sampled.push_back(row.action[0]);
    SumStep(row);
  });
  ASSERT_OK_AND_ASSIGN(const auto planner, DmdMpc::Create(options, {.model = &model}));
  const std::vector<float> starts = {0};
  const std::vector<float> previous = {0.9F, 0.1F};
  PlanningTask task = MakeTask(starts, 1);
  task.previous_plans = previous;
  ASSERT_OK_AND_ASSIGN(const ImprovedPlans improved, planner->Improve(task));
  ASSERT_EQ(sampled.size(), 64);
  EXPECT_FLOAT_EQ(sampled[0], 0.1);
  double numerator = 0;
  double denominator = 0;
  for (const double action : sampled) {
    numerator += std::exp(action / 0.25) * action;
    denominator += std::exp(action / 0.25);
  }
  EXPECT_NEAR(improved.plans[0], numerator / denominator, 1e-6);
}

TEST(DmdMpcTest, EliteStepIsTheExactMirrorStep) {
  // mu = (1 - alpha) mu~ + alpha * (uniform mean of the best tenth), with mu~ = 0.1.
  std::vector<double> sampled;
  FakeModel model(1, 1, 1, [&](FakeRow& row) {
    sampled.push_back(row.action[0]);
    SumStep(row);
  });
  const DmdMpcOptions options{.shift = ShiftKind::kPreviousPlan,
                              .population_size = 50,
                              .step_size = 0.4,
                              .noise_stddev = 0.2,
                              .terminal_value = TerminalValueKind::kNone};
  ASSERT_OK_AND_ASSIGN(const auto planner, DmdMpc::Create(options, {.model = &model}));
  const std::vector<float> starts = {0};
  const std::vector<float> previous = {0.9F, 0.1F};
  PlanningTask task = MakeTask(starts, 1);
  task.previous_plans = previous;
  ASSERT_OK_AND_ASSIGN(const ImprovedPlans improved, planner->Improve(task));
  std::sort(sampled.rbegin(), sampled.rend());
  double elites = 0;
  for (int e = 0; e < 5; ++e) {
    elites += sampled[e] / 5;
  }
  EXPECT_NEAR(improved.plans[0], 0.6 * 0.1 + 0.4 * elites, 1e-6);
}

TEST(DmdMpcTest, StepSizeZeroKeepsTheShiftedPlan) {
  Bench bench({.step_size = 0}, 1, 1, SumStep, /*gain=*/0.5);
  const std::vector<float> starts = {0.4F};
  ASSERT_OK_AND_ASSIGN(const ImprovedPlans improved, bench.planner->Improve(MakeTask(starts, 3)));
  // x: 0.4, 0.6, 0.9 under u = x / 2.
  EXPECT_THAT(improved.plans, Pointwise(FloatNear(1e-6), {0.2, 0.3, 0.45}));
}

TEST(DmdMpcTest, PreviousPlanMovesByOneAndRepeatsItsLastAction) {
  Bench bench({.shift = ShiftKind::kPreviousPlan, .step_size = 0}, 1, 1, SumStep);
  const std::vector<float> starts = {0, 5};
  const std::vector<float> previous = {0.1F, 0.2F, 0.3F, -0.1F, -0.2F, -0.3F};
  PlanningTask task = MakeTask(starts, 4);
  task.previous_plans = previous;
  ASSERT_OK_AND_ASSIGN(const ImprovedPlans improved, bench.planner->Improve(task));
  EXPECT_THAT(improved.plans, Pointwise(FloatNear(1e-6), {0.2, 0.3, 0.3, 0.3, -0.2, -0.3, -0.3, -0.3}));
}

TEST(DmdMpcTest, NoiseAveragingAddsTheElitesNoiseToTheBase) {
  // Gain 0.5 makes the policy's action depend on each sample's own state; averaging noise must not see that.
  const DmdMpcOptions options{.population_size = 20,
                              .noise_stddev = 0.1,
                              .terminal_value = TerminalValueKind::kNone,
                              .average_noise = true};
  Bench bench(options, 1, 1, SumStep, /*gain=*/0.5);
  DmdMpcOptions without_policy = options;
  without_policy.shift = ShiftKind::kZero;
  const std::vector<float> starts = {0.2F};
  ASSERT_OK_AND_ASSIGN(const ImprovedPlans noisy, bench.planner->Improve(MakeTask(starts, 1)));
  Bench open_loop(without_policy, 1, 1, SumStep);
  ASSERT_OK_AND_ASSIGN(const ImprovedPlans zero, open_loop.planner->Improve(MakeTask(starts, 1)));
  EXPECT_NEAR(noisy.plans[0] - zero.plans[0], 0.1, 1e-6);
}

TEST(DmdMpcTest, BaseIsNoiseFreeUnlessAskedOtherwise) {
  const std::vector<float> starts = {0.4F};
  DmdMpcOptions options{.objective = ObjectiveKind::kNone, .sampled_policy = true};
  Bench clean(options, 1, 1, SumStep, 0.5);
  ASSERT_OK_AND_ASSIGN(const ImprovedPlans base, clean.planner->Improve(MakeTask(starts, 2)));
  EXPECT_THAT(base.plans, Pointwise(FloatNear(1e-6), {0.2, 0.3}));
  options.noisy_base = true;
  Bench noisy(options, 1, 1, SumStep, 0.5);
  ASSERT_OK_AND_ASSIGN(const ImprovedPlans other, noisy.planner->Improve(MakeTask(starts, 2)));
  EXPECT_GT(std::abs(other.plans[0] - 0.2), 1e-3);
}

TEST(DmdMpcTest, ActionsStayWithinTheBound) {
  for (const double bound : {1.0, 1.4}) {
    float greatest = 0;
    FakeModel model(1, 1, 1, [&](FakeRow& row) {
      greatest = std::max(greatest, std::abs(row.action[0]));
      SumStep(row);
    });
    FakePolicy policy(1, 1, 0, 0);
    const DmdMpcOptions options{.noise_stddev = 5,
                                .terminal_value = TerminalValueKind::kNone,
                                .average_noise = true,
                                .action_bound = bound};
    ASSERT_OK_AND_ASSIGN(const auto planner, DmdMpc::Create(options, {.model = &model, .policy = &policy}));
    const std::vector<float> starts = {0};
    ASSERT_OK_AND_ASSIGN(const ImprovedPlans improved, planner->Improve(MakeTask(starts, 4)));
    EXPECT_FLOAT_EQ(greatest, bound);
    EXPECT_THAT(improved.plans, Each(::testing::AllOf(::testing::Ge(-bound), ::testing::Le(bound + 1e-6))));
    EXPECT_FLOAT_EQ(*std::max_element(improved.plans.begin(), improved.plans.end()), bound);
  }
}

TEST(DmdMpcTest, KeepsTheBestCandidateOfAllIterations) {
  double best = -1e9;
  std::vector<double> all;
  FakeModel model(1, 1, 1, [&](FakeRow& row) {
    SumStep(row);
    best = std::max<double>(best, row.action[0]);
  });
  ASSERT_OK_AND_ASSIGN(const auto planner, DmdMpc::Create({.shift = ShiftKind::kZero,
                                                           .population_size = 8,
                                                           .num_iterations = 4,
                                                           .noise_stddev = 0.1,
                                                           .terminal_value = TerminalValueKind::kNone,
                                                           .keep_best = true},
                                                          {.model = &model}));
  const std::vector<float> starts = {0};
  ASSERT_OK_AND_ASSIGN(const ImprovedPlans improved, planner->Improve(MakeTask(starts, 1)));
  EXPECT_FLOAT_EQ(improved.plans[0], best);
}

}  // namespace
}  // namespace demorl
