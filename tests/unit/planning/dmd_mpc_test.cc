#include "common/planning/dmd_mpc.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/planning/planning_fakes.h"

namespace demorl {
namespace {

using ::demorl::testing::FakeModel;
using ::demorl::testing::FakePolicy;
using ::demorl::testing::FakeRow;
using ::demorl::testing::FakeValue;
using ::demorl::testing::StatusIs;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

constexpr float kModelStddev = 0.05F;

// Double integrator with quadratic cost: the linear-quadratic problem that planners are checked on.
void LinearQuadraticStep(FakeRow& row) {
  const float position = row.observation[0];
  const float velocity = row.observation[1];
  row.next_observation[0] = position + 0.1F * velocity;
  row.next_observation[1] = velocity + 0.3F * row.action[0] + 0.02F * row.member;
  if (!row.draws.empty()) {
    row.next_observation[1] += kModelStddev * row.draws[2];
  }
  row.reward = -position * position - 0.1F * velocity * velocity - 0.05F * row.action[0] * row.action[0];
}

// x' = x + u, reward = u (plus the member's index): every return is a hand-computable sum.
void SumStep(FakeRow& row) {
  row.next_observation[0] = row.observation[0] + row.action[0];
  row.reward = row.action[0] + static_cast<float>(row.member);
}

// Reward u beside luck a hundred times as large.
void LuckyStep(FakeRow& row) {
  row.next_observation[0] = row.observation[0];
  row.reward = row.action[0] + 100 * row.draws[0];
}

// Counts steps in x; terminates on reaching 3; reward 1 a step.
void CountingStep(FakeRow& row) {
  row.next_observation[0] = row.observation[0] + 1;
  row.reward = 1;
  row.terminated = row.next_observation[0] >= 3;
}

// A planner with the fakes it plans with, O = 2 for the linear-quadratic model and 1 otherwise.
struct Bench {
  Bench(const DmdMpcOptions& options, int observation_size, int num_members, void (*step)(FakeRow&),
        float gain = 0, float value_scale = 0)
      : model(observation_size, 1, num_members, step),
        policy(observation_size, 1, gain, 0.2F),
        value(observation_size, 1, value_scale) {
    auto made = DmdMpc::Create(options, {.model = &model, .policy = &policy, .value = &value});
    EXPECT_OK(made);
    planner = *std::move(made);
  }

  FakeModel model;
  FakePolicy policy;
  FakeValue value;
  std::unique_ptr<DmdMpc> planner;
};

PlanningTask MakeTask(const std::vector<float>& starts, int horizon_steps, uint64_t seed = 1) {
  return {.horizon_steps = horizon_steps, .start_observations = starts, .seed = seed};
}

// Start states of the linear-quadratic problem.
std::vector<float> GridOfStarts(int count) {
  std::vector<float> starts;
  for (int s = 0; s < count; ++s) {
    starts.push_back(1.5F - 3.0F * s / count);
    starts.push_back(-0.5F + 1.0F * (s % 5) / 4);
  }
  return starts;
}

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

TEST(DmdMpcTest, TerminalValuesMatchHandComputedReturns) {
  // u = 0.5 x: x = 1, 1.5, 2.25, 3.375; r = 0.5, 0.75, 1.125; V = 10 x; Q = 10 x + u.
  struct Case {
    TerminalValueKind kind;
    bool discounted;
    double expected;
  };
  const double discount = 0.9;
  const double rewards = 0.5 + 0.9 * 0.75;
  const Case cases[] = {
      {TerminalValueKind::kAfterHorizon, true, rewards + 0.81 * 1.125 + 0.729 * 33.75},
      {TerminalValueKind::kAfterHorizon, false, rewards + 0.81 * 1.125 + 33.75},
      {TerminalValueKind::kLastSlot, true, rewards + 0.81 * 22.5},
      {TerminalValueKind::kQ, true, rewards + 0.81 * (22.5 + 1.125)},
      {TerminalValueKind::kQ, false, rewards + 22.5 + 1.125},
      {TerminalValueKind::kNone, true, rewards + 0.81 * 1.125},
  };
  for (const Case& c : cases) {
    Bench bench({.step_size = 0,
                 .terminal_value = c.kind,
                 .discount_terminal_value = c.discounted,
                 .discount = discount,
                 .action_bound = 5},
                1, 1, SumStep, /*gain=*/0.5, /*value_scale=*/10);
    const std::vector<float> starts = {1};
    const PlanningTask task = MakeTask(starts, 3);
    ASSERT_OK_AND_ASSIGN(const ImprovedPlans improved, bench.planner->Improve(task));
    EXPECT_NEAR(improved.base_returns[0], c.expected, 1e-4) << static_cast<int>(c.kind) << c.discounted;
    ASSERT_OK_AND_ASSIGN(const PlannedRows rows, bench.planner->Roll(task, improved, {}));
    EXPECT_NEAR(rows.plan_returns[0], c.expected, 1e-4) << static_cast<int>(c.kind) << c.discounted;
    EXPECT_EQ(rows.chunk.num_rows(), 3);
  }
}

TEST(DmdMpcTest, RewardAndValueStopAfterATermination) {
  Bench bench({.discount = 1}, 1, 1, CountingStep, 0, /*value_scale=*/100);
  const std::vector<float> starts = {1, -10};
  const PlanningTask task = MakeTask(starts, 5);
  ASSERT_OK_AND_ASSIGN(const ImprovedPlans improved, bench.planner->Improve(task));
  EXPECT_DOUBLE_EQ(improved.base_returns[0], 2);               // terminates at x = 3, no value
  EXPECT_DOUBLE_EQ(improved.base_returns[1], 5 + 100 * -5.0);  // never terminates
}

TEST(DmdMpcTest, RowsEndWithATermination) {
  Bench bench({}, 1, 1, CountingStep);
  const std::vector<float> starts = {1, -10};
  const PlanningTask task = MakeTask(starts, 5);
  ASSERT_OK_AND_ASSIGN(const ImprovedPlans improved, bench.planner->Improve(task));
  ASSERT_OK_AND_ASSIGN(
      const PlannedRows rows,
      bench.planner->Roll(task, improved,
                          {.dynamics_version = 3, .policy_version = 8, .planning_round = 12}));
  ASSERT_EQ(rows.chunk.segments.size(), 2);
  const Segment& ended = rows.chunk.segments[0];
  EXPECT_EQ(ended.num_steps, 2);
  EXPECT_THAT(ended.observations, ElementsAre(1, 2, 3));
  EXPECT_TRUE(ended.terminated);
  EXPECT_FALSE(ended.truncated);
  EXPECT_THAT(ended.policy_versions, ElementsAre(8, 8));
  EXPECT_EQ(ended.provenance->dynamics_version, 3);
  EXPECT_EQ(ended.provenance->planning_round, 12);
  EXPECT_EQ(ended.provenance->horizon_steps, 5);
  const Segment& cut = rows.chunk.segments[1];
  EXPECT_EQ(cut.num_steps, 5);
  EXPECT_FALSE(cut.terminated);
  EXPECT_TRUE(cut.truncated);
}

TEST(DmdMpcTest, IgnoredTerminationsKeepEarningAndKeepAllRows) {
  Bench bench({.terminal_value = TerminalValueKind::kNone, .discount = 1, .mask_terminations = false}, 1, 1,
              CountingStep);
  const std::vector<float> starts = {1};
  const PlanningTask task = MakeTask(starts, 5);
  ASSERT_OK_AND_ASSIGN(const ImprovedPlans improved, bench.planner->Improve(task));
  EXPECT_DOUBLE_EQ(improved.base_returns[0], 5);
  ASSERT_OK_AND_ASSIGN(const PlannedRows rows, bench.planner->Roll(task, improved, {}));
  EXPECT_EQ(rows.chunk.num_rows(), 5);
  // Steps 2 to 5 each end terminated, in segments of their own.
  ASSERT_EQ(rows.chunk.segments.size(), 4);
  EXPECT_EQ(rows.chunk.segments[0].num_steps, 2);
  EXPECT_EQ(rows.chunk.segments[1].first_step, 2);
  for (const Segment& segment : rows.chunk.segments) {
    EXPECT_TRUE(segment.terminated);
  }
}

TEST(DmdMpcTest, RowsFollowThePlanOpenLoop) {
  Bench bench({.step_size = 1, .sampled_next_state = true}, 2, 3, LinearQuadraticStep);
  const std::vector<float> starts = {1, 0};
  const PlanningTask task = MakeTask(starts, 6);
  ASSERT_OK_AND_ASSIGN(const ImprovedPlans improved, bench.planner->Improve(task));
  ASSERT_OK_AND_ASSIGN(const PlannedRows rows, bench.planner->Roll(task, improved, {}));
  ASSERT_EQ(rows.chunk.segments.size(), 1);
  EXPECT_EQ(rows.chunk.segments[0].actions, improved.plans);
}

TEST(DmdMpcTest, OneMemberPerStartIsCommonToAllItsSamples) {
  Bench bench({.population_size = 10}, 2, 5, LinearQuadraticStep);
  const std::vector<float> starts = GridOfStarts(30);
  const PlanningTask task = MakeTask(starts, 3);
  ASSERT_OK_AND_ASSIGN(const ImprovedPlans improved, bench.planner->Improve(task));
  const std::vector<int>& members = bench.model.members_per_call.front();
  ASSERT_EQ(members.size(), 300);
  std::set<int> seen;
  for (int row = 0; row < 300; ++row) {
    EXPECT_EQ(members[row], members[row / 10 * 10]);
    seen.insert(members[row]);
  }
  EXPECT_EQ(seen.size(), 5);
  EXPECT_EQ(bench.model.members_per_call[2], members);  // the same at every step

  bench.model.members_per_call.clear();
  ASSERT_OK(bench.planner->Roll(task, improved, {}));
  int differing = 0;
  for (int s = 0; s < 30; ++s) {
    differing += bench.model.members_per_call[0][s] != members[s * 10];
  }
  EXPECT_GT(differing, 10);  // the rows use a fresh draw: 24 of 30 differ on average
}

TEST(DmdMpcTest, OnlyActionsRankSamplesThatShareTheirDraws) {
  const std::vector<float> starts(50, 0.0F);
  const auto mean_action = [&](bool shared_model_draws, ModelDrawKind model_draw, int num_particles) {
    Bench bench({.shift = ShiftKind::kZero,
                 .noise_stddev = 0.3,
                 .terminal_value = TerminalValueKind::kNone,
                 .model_draw = model_draw,
                 .num_particles = num_particles,
                 .sampled_reward = true,
                 .shared_model_draws = shared_model_draws},
                1, 1, LuckyStep);
    const ImprovedPlans improved = bench.planner->Improve(MakeTask(starts, 1)).value();
    double sum = 0;
    for (const float action : improved.plans) {
      sum += action;
    }
    return sum / static_cast<double>(improved.plans.size());
  };
  // The best tenth of normal draws lies 1.75 standard deviations up.
  EXPECT_NEAR(mean_action(true, ModelDrawKind::kPerStart, 1), 1.75 * 0.3, 0.05);
  EXPECT_NEAR(mean_action(true, ModelDrawKind::kPerStep, 1), 1.75 * 0.3, 0.05);
  EXPECT_NEAR(mean_action(true, ModelDrawKind::kParticles, 3), 1.75 * 0.3, 0.05);
  EXPECT_NEAR(mean_action(false, ModelDrawKind::kPerStart, 1), 0, 0.1);
}

TEST(DmdMpcTest, DrawsPerStepChangeMembersWithinARollout) {
  Bench bench({.population_size = 10, .model_draw = ModelDrawKind::kPerStep}, 2, 5, LinearQuadraticStep);
  const std::vector<float> starts = GridOfStarts(10);
  ASSERT_OK(bench.planner->Improve(MakeTask(starts, 2)));
  EXPECT_NE(bench.model.members_per_call[0], bench.model.members_per_call[1]);
}

TEST(DmdMpcTest, EliteMeanAveragesTheReturnsOfAllMembers) {
  // Reward u + member: over members 0, 1, 2 the mean bonus is 1 a step.
  Bench bench({.shift = ShiftKind::kZero,
               .terminal_value = TerminalValueKind::kNone,
               .discount = 1,
               .model_draw = ModelDrawKind::kEliteMean,
               .num_particles = 2},
              1, 3, SumStep);
  const std::vector<float> starts = {0};
  ASSERT_OK_AND_ASSIGN(const ImprovedPlans improved, bench.planner->Improve(MakeTask(starts, 4)));
  EXPECT_DOUBLE_EQ(improved.base_returns[0], 4);
  EXPECT_EQ(bench.model.rows_per_call.front(), 100 * 3 * 2);
}

TEST(DmdMpcTest, ParticlesScoreTheSameActionsAlsoWhereThePolicyChoseThem) {
  Bench bench({.terminal_value = TerminalValueKind::kNone,
               .discount = 1,
               .model_draw = ModelDrawKind::kParticles,
               .num_particles = 8,
               .sampled_next_state = false},
              1, 3, SumStep, /*gain=*/0.5);
  const std::vector<float> starts = {0.4F};
  ASSERT_OK_AND_ASSIGN(const ImprovedPlans improved, bench.planner->Improve(MakeTask(starts, 2)));
  const std::vector<int>& members = bench.model.members_per_call.back();
  ASSERT_EQ(members.size(), 800);
  double bonus = 0;
  for (int p = 0; p < 8; ++p) {
    bonus += members[p] / 8.0;
  }
  EXPECT_NEAR(improved.base_returns[0], 0.2 + 0.3 + 2 * bonus, 1e-5);
}

TEST(DmdMpcTest, PolicyProposalsFollowThePolicyWithoutNoise) {
  std::vector<float> first_actions;
  FakeModel model(1, 1, 1, [&](FakeRow& row) {
    first_actions.push_back(row.action[0]);
    SumStep(row);
  });
  FakePolicy policy(1, 1, 0.5, 0);
  const DmdMpcOptions options{.shift = ShiftKind::kPreviousPlan,
                              .population_size = 10,
                              .policy_proposal_ratio = 0.2,
                              .terminal_value = TerminalValueKind::kNone};
  ASSERT_OK_AND_ASSIGN(const auto planner, DmdMpc::Create(options, {.model = &model, .policy = &policy}));
  const std::vector<float> starts = {0.8F};
  ASSERT_OK(planner->Improve(MakeTask(starts, 1)));
  ASSERT_EQ(first_actions.size(), 10);
  EXPECT_FLOAT_EQ(first_actions[0], 0);
  EXPECT_FLOAT_EQ(first_actions[8], 0.4);
  EXPECT_FLOAT_EQ(first_actions[9], 0.4);
  EXPECT_NE(first_actions[7], 0.4F);
}

TEST(DmdMpcTest, ClosedLoopRowsAreThePolicysOwnStochasticRollouts) {
  const DmdMpcOptions options{.objective = ObjectiveKind::kNone,
                              .terminal_value = TerminalValueKind::kNone,
                              .model_draw = ModelDrawKind::kPerStep,
                              .sampled_reward = true,
                              .closed_loop_rows = true};
  Bench bench(options, 1, 4, SumStep, /*gain=*/0.5);
  const std::vector<float> starts(200, 0.4F);
  const PlanningTask task = MakeTask(starts, 2);
  ASSERT_OK_AND_ASSIGN(const ImprovedPlans improved, bench.planner->Improve(task));
  EXPECT_TRUE(bench.model.rows_per_call.empty());  // nothing is ranked
  ASSERT_OK_AND_ASSIGN(const PlannedRows rows, bench.planner->Roll(task, improved, {}));
  EXPECT_THAT(bench.model.rows_per_call, ElementsAre(200, 200));
  EXPECT_NE(bench.model.members_per_call[0], bench.model.members_per_call[1]);
  double sum = 0;
  double sum_squares = 0;
  for (const Segment& segment : rows.chunk.segments) {
    // The second action follows the state reached, whose mean is 0.5 (x + u).
    const double deviation = segment.actions[1] - 0.5 * segment.observations[1];
    sum += deviation;
    sum_squares += deviation * deviation;
  }
  // The policy's stddev is 0.2; standard errors are 0.014 and 0.004.
  EXPECT_NEAR(sum / 200, 0, 0.057);
  EXPECT_NEAR(sum_squares / 200, 0.04, 0.016);
}

TEST(DmdMpcTest, EqualSeedsGiveEqualPlansAndOtherSeedsOthers) {
  Bench bench({}, 2, 3, LinearQuadraticStep);
  const std::vector<float> starts = GridOfStarts(6);
  ASSERT_OK_AND_ASSIGN(const ImprovedPlans first, bench.planner->Improve(MakeTask(starts, 4, 11)));
  ASSERT_OK_AND_ASSIGN(const ImprovedPlans second, bench.planner->Improve(MakeTask(starts, 4, 11)));
  ASSERT_OK_AND_ASSIGN(const ImprovedPlans other, bench.planner->Improve(MakeTask(starts, 4, 12)));
  EXPECT_EQ(first.plans, second.plans);
  EXPECT_NE(first.plans, other.plans);
}

TEST(DmdMpcTest, ResultsDoNotDependOnHowRowsAreBatched) {
  for (const ModelDrawKind draw :
       {ModelDrawKind::kPerStart, ModelDrawKind::kPerStep, ModelDrawKind::kParticles}) {
    DmdMpcOptions options{.num_iterations = 2,
                          .sampled_policy = true,
                          .policy_proposal_ratio = 0.05,
                          .model_draw = draw,
                          .num_particles = draw == ModelDrawKind::kParticles ? 3 : 1,
                          .sampled_reward = true};
    const std::vector<float> starts = GridOfStarts(7);
    const PlanningTask task = MakeTask(starts, 4);
    Bench whole(options, 2, 3, LinearQuadraticStep, -0.2F);
    options.max_rows_per_call = 2;
    Bench pieces(options, 2, 3, LinearQuadraticStep, -0.2F);
    ASSERT_OK_AND_ASSIGN(const ImprovedPlans a, whole.planner->Improve(task));
    ASSERT_OK_AND_ASSIGN(const ImprovedPlans b, pieces.planner->Improve(task));
    EXPECT_EQ(a.plans, b.plans);
    ASSERT_OK_AND_ASSIGN(const PlannedRows rows_a, whole.planner->Roll(task, a, {}));
    ASSERT_OK_AND_ASSIGN(const PlannedRows rows_b, pieces.planner->Roll(task, b, {}));
    EXPECT_EQ(rows_a.plan_returns, rows_b.plan_returns);
    EXPECT_LE(*std::max_element(whole.model.rows_per_call.begin(), whole.model.rows_per_call.end()), 20000);
  }
}

TEST(DmdMpcTest, SharedNoiseIsTheSameForAllStartsAndTasksOfAnEpoch) {
  Bench bench({.shift = ShiftKind::kZero, .shared_noise = true, .terminal_value = TerminalValueKind::kNone},
              1, 1, SumStep);
  const std::vector<float> starts = {0, 0, 0};
  PlanningTask task = MakeTask(starts, 3, /*seed=*/1);
  task.shared_noise_seed = 5;
  ASSERT_OK_AND_ASSIGN(const ImprovedPlans first, bench.planner->Improve(task));
  EXPECT_EQ(first.plans[0], first.plans[3]);
  task.seed = 2;
  ASSERT_OK_AND_ASSIGN(const ImprovedPlans second, bench.planner->Improve(task));
  EXPECT_EQ(first.plans, second.plans);
  task.shared_noise_seed = 6;
  ASSERT_OK_AND_ASSIGN(const ImprovedPlans third, bench.planner->Improve(task));
  EXPECT_NE(first.plans, third.plans);
}

TEST(DmdMpcTest, NonFiniteCandidatesLoseAndAStartWithoutAnyOtherIsSkipped) {
  // Positive actions break the model at x >= 0; at x < 0 everything breaks it.
  FakeModel model(1, 1, 1, [](FakeRow& row) {
    SumStep(row);
    if (row.observation[0] < 0 || row.action[0] > 0) {
      row.reward = std::numeric_limits<float>::quiet_NaN();
    }
  });
  FakePolicy policy(1, 1, 0, 0);
  ASSERT_OK_AND_ASSIGN(const auto planner, DmdMpc::Create({.terminal_value = TerminalValueKind::kNone},
                                                          {.model = &model, .policy = &policy}));
  const std::vector<float> starts = {100, -100};
  const PlanningTask task = MakeTask(starts, 1);
  ASSERT_OK_AND_ASSIGN(const ImprovedPlans improved, planner->Improve(task));
  EXPECT_THAT(improved.valid, ElementsAre(1, 0));
  EXPECT_LE(improved.plans[0], 0);
  ASSERT_OK_AND_ASSIGN(const PlannedRows rows, planner->Roll(task, improved, {}));
  EXPECT_EQ(rows.skipped_starts, 1);
  EXPECT_EQ(rows.chunk.num_rows(), 1);
}

TEST(DmdMpcTest, RowsThatBecomeNonFiniteAreSkipped) {
  FakeModel model(1, 1, 1, [](FakeRow& row) {
    SumStep(row);
    row.next_observation[0] = std::numeric_limits<float>::infinity();
  });
  ASSERT_OK_AND_ASSIGN(const auto planner,
                       DmdMpc::Create({.shift = ShiftKind::kZero, .terminal_value = TerminalValueKind::kNone},
                                      {.model = &model}));
  const std::vector<float> starts = {0};
  const PlanningTask task = MakeTask(starts, 2);
  const ImprovedPlans plans{.plans = {0, 0}, .base_returns = {0}, .valid = {1}};
  ASSERT_OK_AND_ASSIGN(const PlannedRows rows, planner->Roll(task, plans, {}));
  EXPECT_EQ(rows.skipped_starts, 1);
  EXPECT_EQ(rows.chunk.num_rows(), 0);
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

TEST(DmdMpcTest, OutOfTimeKeepsFinishedIterations) {
  int steps = 0;
  FakeModel model(1, 1, 1, [](FakeRow& row) { SumStep(row); });
  ASSERT_OK_AND_ASSIGN(const auto planner, DmdMpc::Create({.shift = ShiftKind::kZero,
                                                           .num_iterations = 5,
                                                           .terminal_value = TerminalValueKind::kNone},
                                                          {.model = &model}));
  const std::vector<float> starts = {0};
  PlanningTask task = MakeTask(starts, 2);
  task.out_of_time = [&] { return ++steps > 5; };
  ASSERT_OK_AND_ASSIGN(const ImprovedPlans improved, planner->Improve(task));
  EXPECT_EQ(improved.num_iterations, 2);
  EXPECT_GT(improved.plans[0], 0);
  task.out_of_time = [] { return true; };
  EXPECT_THAT(planner->Improve(task),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("out of time")));
}

TEST(DmdMpcTest, NamesTheMissingPart) {
  FakeModel model(1, 1, 1, SumStep);
  EXPECT_THAT(DmdMpc::Create({}, {.model = &model}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no policy")));
}

}  // namespace
}  // namespace demorl
