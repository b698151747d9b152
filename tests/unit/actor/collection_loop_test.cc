// Which steps a collection loop takes, when it waits, and what makes it give up.

#include <limits>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tests/fakes/policies.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/actor/collection_loop_fixture.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

TEST_F(CollectionLoopTest, CollectsExactlyTheStepsOfTheRunAndThenReportsThatItIsFinished) {
  const auto loop = Make({.environment_steps = 105, .learning_starts = 1000, .max_run_ahead_steps = 25});
  loop->Start();
  ASSERT_TRUE(Finishes(*loop));
  EXPECT_EQ(table_.rows, 105);
  ASSERT_OK(loop->Drain(Soon()));
  EXPECT_EQ(table_.rows, 105);
  const std::vector<Segment> segments = Segments();
  EXPECT_EQ(loop->Status().figures.at("steps"), 105);
  EXPECT_EQ(loop->Status().figures.at("episodes"), 15);
  EXPECT_EQ(loop->Status().state, ComponentState::kDraining);
  for (const Segment& segment : segments) {
    EXPECT_FALSE(segment.truncated);
  }
}

TEST_F(CollectionLoopTest, CountsTheRowsThatTheTableHadBefore) {
  table_.rows = 50;
  policies_.Publish(1, ConstantPolicy(3, 2, 0.5f));
  const auto loop = Make({.environment_steps = 60, .learning_starts = 20, .max_run_ahead_steps = 25});
  loop->Start();
  ASSERT_TRUE(Finishes(*loop));
  ASSERT_OK(loop->Drain(Soon()));
  EXPECT_EQ(Versions(), std::vector<uint64_t>(10, 1));
}

TEST_F(CollectionLoopTest, FlushesOpenSegmentsWhenTheRunAheadLimitHoldsItBack) {
  table_.rows_allowed = 13;
  const auto loop =
      Make({.environment_steps = 100, .max_run_ahead_steps = 25}, {.episode_steps = 1000}, false,
           /*chunk_steps=*/10);
  loop->Start();
  // The learner sees all 13 rows, not only the 10 of the closed chunk.
  ASSERT_TRUE(table_.Await([this] { return table_.rows == 13; }));
  ASSERT_TRUE(AwaitStatus(
      *loop, [](const auto& status) { return absl::StrContains(status.detail, "waiting for the learner"); }));
  AllowRows(14);
  ASSERT_TRUE(table_.Await([this] { return table_.rows == 14; }));
  ASSERT_OK(loop->Drain(Soon()));
}

TEST_F(CollectionLoopTest, IsNotStuckWhenItStepsMoreEnvironmentsThanTheLimitAllowsAtOnce) {
  table_.rows_allowed = 5;
  const auto loop = Make({.environment_steps = 32, .num_environments = 16, .max_run_ahead_steps = 5});
  loop->Start();
  ASSERT_TRUE(table_.Await([this] { return table_.rows == 16; }));
  AllowRows(21);
  ASSERT_TRUE(table_.Await([this] { return table_.rows == 32; }));
  ASSERT_OK(loop->Drain(Soon()));
}

TEST_F(CollectionLoopTest, BecomesUnhealthyWhenTheSimulatorOnlyGivesNonFiniteNumbers) {
  const auto loop = Make({.environment_steps = 1000, .max_run_ahead_steps = 25}, {.non_finite_reset = true});
  loop->Start();
  ASSERT_TRUE(BecomesUnhealthy(*loop));
  EXPECT_THAT(loop->Status().detail, HasSubstr("non-finite"));
  EXPECT_FALSE(loop->Drain(Soon()).ok());
  EXPECT_EQ(table_.rows, 0);
}

TEST_F(CollectionLoopTest, BecomesUnhealthyWhenANewerEpochFencesIt) {
  table_.append_status = absl::AbortedError("epoch 2 has taken over");
  const auto loop = Make({.environment_steps = 1000, .max_run_ahead_steps = 25});
  loop->Start();
  ASSERT_TRUE(BecomesUnhealthy(*loop));
  EXPECT_THAT(loop->Drain(Soon()), StatusIs(absl::StatusCode::kAborted, HasSubstr("epoch 2")));
}

TEST_F(CollectionLoopTest, PausesAndGoesOn) {
  const auto loop = Make({.environment_steps = 1'000'000'000, .max_run_ahead_steps = 25});
  table_.rows_allowed = std::numeric_limits<int64_t>::max();
  loop->Start();
  ASSERT_TRUE(table_.Await([this] { return table_.rows > 20; }));
  loop->Pause();
  ASSERT_TRUE(AwaitStatus(*loop, [](const auto& status) { return status.state == ComponentState::kPaused; }));
  // Once paused for good, everything collected has been flushed.
  ASSERT_TRUE(AwaitStatus(*loop, [this](const auto& status) {
    absl::MutexLock lock(&table_.mutex);
    return status.figures.at("steps") == table_.rows;
  }));
  const int64_t rows = [this] {
    absl::MutexLock lock(&table_.mutex);
    return table_.rows;
  }();
  loop->Resume();
  ASSERT_TRUE(table_.Await([this, rows] { return table_.rows > rows + 100; }));
  ASSERT_OK(loop->Drain(Soon()));
}

}  // namespace
}  // namespace demorl
