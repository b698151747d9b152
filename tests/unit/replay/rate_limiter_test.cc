#include "services/replay/core/rate_limiter.h"

#include "gtest/gtest.h"
#include "services/replay/core/replay_options.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

TEST(RateLimiterTest, UpdatesFollowTheRowsAfterTheFirst) {
  RateLimiter limiter({.updates_per_row = 2, .max_rows_ahead = 3, .min_rows = 10});
  EXPECT_FALSE(limiter.UpdateAllowed(9));
  EXPECT_FALSE(limiter.UpdateAllowed(10));  // earned 0
  EXPECT_TRUE(limiter.UpdateAllowed(11));   // earned 2
  limiter.CountUpdate();
  EXPECT_TRUE(limiter.UpdateAllowed(11));  // 2 of 2
  limiter.CountUpdate();
  EXPECT_FALSE(limiter.UpdateAllowed(11));          // 3 > 2
  EXPECT_DOUBLE_EQ(limiter.Error(11), 0.0);         // 2 - 2
  EXPECT_DOUBLE_EQ(limiter.Error(14), 4 * 2 - 2.);  // rows are ahead
}

TEST(RateLimiterTest, ToleranceLetsUpdatesGoAhead) {
  RateLimiter limiter({.updates_per_row = 1, .max_rows_ahead = 1, .max_updates_ahead = 2, .min_rows = 5});
  EXPECT_FALSE(limiter.UpdateAllowed(4));
  EXPECT_TRUE(limiter.UpdateAllowed(5));
  limiter.CountUpdate();
  EXPECT_TRUE(limiter.UpdateAllowed(5));
  limiter.CountUpdate();
  EXPECT_FALSE(limiter.UpdateAllowed(5));  // 3 > 0 + 2
  EXPECT_TRUE(limiter.UpdateAllowed(6));   // 3 <= 1 + 2
}

TEST(RateLimiterTest, WritersMayGoAsFarAheadAsUpdatesHaveEarned) {
  RateLimiter limiter({.updates_per_row = 40, .max_rows_ahead = 25, .min_rows = 1000});
  EXPECT_EQ(limiter.RowsAllowed(), 1025);
  for (int i = 0; i < 80; ++i) {
    limiter.CountUpdate();
  }
  EXPECT_EQ(limiter.RowsAllowed(), 1027);  // 80 updates = 2 rows
  limiter.CountUpdate();
  EXPECT_EQ(limiter.RowsAllowed(), 1028);  // 81 updates: 2.025 rows, rounded up
}

TEST(RateLimiterTest, WithoutARatioOnlyTheMinimumCounts) {
  RateLimiter limiter({.min_rows = 3});
  EXPECT_FALSE(limiter.UpdateAllowed(2));
  EXPECT_TRUE(limiter.UpdateAllowed(3));
  EXPECT_EQ(limiter.RowsAllowed(), RateLimiter::kUnlimitedRows);
  EXPECT_EQ(limiter.Error(100), 0);
}

TEST(RateLimiterTest, RefusesWhatMustDeadlock) {
  // 4 rows ahead earn 4 * 0.2 = 0.8 updates: the learner never gets one.
  EXPECT_THAT(ValidateRateLimiter({.updates_per_row = 0.2, .max_rows_ahead = 4}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("want >= 1")));
  EXPECT_OK(ValidateRateLimiter({.updates_per_row = 0.2, .max_rows_ahead = 5}));
  EXPECT_OK(ValidateRateLimiter({.updates_per_row = 0.2, .max_rows_ahead = 4, .max_updates_ahead = 1}));
  EXPECT_THAT(ValidateRateLimiter({.updates_per_row = -1}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("updates_per_row = -1")));
  EXPECT_THAT(ValidateRateLimiter({.min_rows = 0}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("min_rows = 0")));
}

TEST(RateLimiterTest, AcceptedSettingsNeverStopBothSides) {
  for (const double updates_per_row : {0.04, 0.3, 1.0, 1.7, 20.0, 40.0}) {
    for (const int64_t max_rows_ahead : {1, 2, 25}) {
      const RateLimiterOptions options = {
          .updates_per_row = updates_per_row, .max_rows_ahead = max_rows_ahead, .min_rows = 3};
      if (!ValidateRateLimiter(options).ok()) {
        continue;
      }
      RateLimiter limiter(options);
      for (int64_t rows = 0, steps = 0; steps < 20'000; ++steps) {
        if (limiter.UpdateAllowed(rows)) {
          limiter.CountUpdate();
        } else {
          ASSERT_LT(rows, limiter.RowsAllowed()) << updates_per_row << " " << max_rows_ahead;
          ++rows;
        }
      }
    }
  }
}

TEST(RateLimiterTest, RefusesAMinimumThatTheTableCannotHold) {
  EXPECT_THAT(
      ValidateReplayOptions({.tables = {{.name = "env", .max_rows = 10, .rate_limiter = {.min_rows = 11}}}}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("table 'env': min_rows = 11")));
  EXPECT_THAT(ValidateReplayOptions({.tables = {{.name = "env"}, {.name = "env"}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("twice")));
  EXPECT_THAT(ValidateReplayOptions({}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no tables")));
}

TEST(WaitingTimeTest, SumsOverThoseWhoWait) {
  WaitingTime waiting;
  waiting.SetWaiting(2, absl::Seconds(10));
  waiting.SetWaiting(1, absl::Seconds(13));                           // 2 * 3 s
  EXPECT_EQ(waiting.Total(absl::Seconds(20)), absl::Seconds(6 + 7));  // 1 * 7 s, still waiting
  waiting.SetWaiting(0, absl::Seconds(20));
  EXPECT_EQ(waiting.Total(absl::Seconds(100)), absl::Seconds(13));
}

}  // namespace
}  // namespace demorl
