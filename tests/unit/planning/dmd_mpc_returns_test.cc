// What DMD-MPC scores a candidate by: rewards, ends, terminal values, and whose predictions are compared.

#include <set>
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
using ::demorl::testing::CountingStep;
using ::demorl::testing::FakeModel;
using ::demorl::testing::FakePolicy;
using ::demorl::testing::FakeRow;
using ::demorl::testing::GridOfStarts;
using ::demorl::testing::LinearQuadraticStep;
using ::demorl::testing::MakeTask;
using ::demorl::testing::SumStep;

// Reward u beside luck a hundred times as large.
void LuckyStep(FakeRow& row) {
  row.next_observation[0] = row.observation[0];
  row.reward = row.action[0] + 100 * row.draws[0];
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

}  // namespace
}  // namespace demorl
