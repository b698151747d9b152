// What holds for DMD-MPC whatever it plans: seeds, batches, numbers that are not finite, time.

#include "common/planning/dmd_mpc.h"

#include <algorithm>
#include <limits>
#include <vector>

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
using ::demorl::testing::StatusIs;
using ::demorl::testing::SumStep;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

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
