// The rows of the improved plans, which are what the learner is given.

#include <limits>
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
using ::demorl::testing::FakeRow;
using ::demorl::testing::LinearQuadraticStep;
using ::demorl::testing::MakeTask;
using ::demorl::testing::SumStep;
using ::testing::ElementsAre;

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

}  // namespace
}  // namespace demorl
