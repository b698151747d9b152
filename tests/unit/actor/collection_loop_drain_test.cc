// What a collection loop hands over when it ends, and what it sends again after a restart.

#include <limits>

#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/actor/collection_loop_fixture.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

TEST_F(CollectionLoopTest, CutsEpisodesAsTruncatedWhenItDrains) {
  table_.rows_allowed = 5;
  const auto loop =
      Make({.environment_steps = 100, .max_run_ahead_steps = 25}, {.episode_steps = 1000}, false, 100);
  loop->Start();
  ASSERT_TRUE(table_.Await([this] { return table_.rows == 5; }));
  AllowRows(1'000'000);
  ASSERT_OK(loop->Drain(Soon()));
  ASSERT_OK(loop->Drain(Soon()));
  for (const Segment& segment : Segments()) {
    EXPECT_FALSE(segment.terminated);
  }
  const int64_t rows = table_.rows;
  EXPECT_EQ(loop->Status().figures.at("steps"), rows);
}

TEST_F(CollectionLoopTest, ReportsRowsThatADrainLeavesBehind) {
  const auto loop = Make({.environment_steps = 1000, .max_run_ahead_steps = 25});
  table_.durable_limit = 0;
  loop->Start();
  ASSERT_TRUE(table_.Await([this] { return table_.rows > 20; }));
  EXPECT_THAT(loop->Drain(absl::Now() + absl::Milliseconds(300)),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("left behind")));
}

TEST_F(CollectionLoopTest, WaitsForReplayAndStopsInTheMeantimeWhenAsked) {
  table_.reachable = false;
  const auto loop = Make({.environment_steps = 1000, .max_run_ahead_steps = 25});
  loop->Start();
  ASSERT_TRUE(AwaitStatus(*loop, [](const auto& status) { return status.detail == "waiting for replay"; }));
  ASSERT_OK(loop->Drain(Soon()));
  EXPECT_EQ(table_.rows, 0);
}

TEST_F(CollectionLoopTest, SendsSpooledChunksAgainAfterARestartExactlyOnce) {
  {
    absl::MutexLock lock(&table_.mutex);
    table_.durable_limit = 3;  // later chunks reach the table but are lost with it
  }
  {
    const auto loop = Make({.environment_steps = 1000, .max_run_ahead_steps = 25}, {}, /*spooled=*/true);
    loop->Start();
    ASSERT_TRUE(table_.Await([this] { return table_.accepted >= 20; }));
    EXPECT_FALSE(loop->Drain(absl::Now()).ok());
  }
  std::vector<TransitionChunk> all;
  {
    absl::MutexLock lock(&table_.mutex);
    all = table_.chunks;
    // The server comes back with what was durable, and two that were on their way.
    table_.chunks.resize(5);
    table_.accepted = 5;
    table_.rows = 0;
    for (const TransitionChunk& chunk : table_.chunks) {
      table_.rows += chunk.num_rows();
    }
    table_.durable_limit = std::numeric_limits<uint64_t>::max();
  }
  const auto loop = Make({.environment_steps = 0, .learning_starts = 5000, .max_run_ahead_steps = 25}, {},
                         /*spooled=*/true);
  loop->Start();
  ASSERT_TRUE(Finishes(*loop));
  ASSERT_OK(loop->Drain(Soon()));
  // One more when the first loop stopped between spooling a chunk and sending it.
  ASSERT_THAT(table_.chunks.size(), ::testing::AnyOf(all.size(), all.size() + 1));
  for (size_t i = 0; i < all.size(); ++i) {
    ASSERT_EQ(table_.chunks[i].segments.size(), all[i].segments.size());
    EXPECT_EQ(table_.chunks[i].segments[0].episode_id, all[i].segments[0].episode_id);
    EXPECT_EQ(table_.chunks[i].segments[0].first_step, all[i].segments[0].first_step);
    EXPECT_EQ(table_.chunks[i].segments[0].actions, all[i].segments[0].actions);
  }
  ASSERT_OK_AND_ASSIGN(const auto spool, RecordSpool::Open({.folder = folder_}));
  EXPECT_EQ(spool->figures().records, 0);
}

}  // namespace
}  // namespace demorl
