#pragma once

#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "services/actor/collection_loop.h"
#include "services/actor/core/environment_factory.h"
#include "tests/fakes/fake_environment.h"
#include "tests/fakes/fake_planner.h"
#include "tests/fakes/fake_replay_table.h"
#include "tests/fakes/fake_snapshots.h"
#include "tests/testing/status_matchers.h"

namespace demorl {

// A loop over fake environments, with replay and snapshots in memory. Environments have observations of 3
// and actions of 2 numbers and, by default, episodes of 7 steps.
class CollectionLoopTest : public ::testing::Test {
 protected:
  CollectionLoopTest()
      : folder_(std::filesystem::path(::testing::TempDir()) /
                absl::StrCat("loop_", getpid(), "_",
                             ::testing::UnitTest::GetInstance()->current_test_info()->name())) {}
  ~CollectionLoopTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<CollectionLoop> Make(CollectionOptions options, const FakeEnvironmentOptions& fake = {},
                                       bool spooled = false, int chunk_steps = 10,
                                       const PlannerSource& planners = {}) {
    if (policies_.empty() && options.first_policy_wait == CollectionOptions{}.first_policy_wait) {
      options.first_policy_wait = absl::ZeroDuration();
    }
    CollectionLoop::Parts parts;
    absl::StatusOr<std::unique_ptr<EpisodeCollector>> collector = CreateEpisodeCollector(
        {.num_environments = options.num_environments,
         .chunk_steps = chunk_steps,
         .seed = 1,
         .first_episode_id = ++start_count_ << 40,
         .planners = planners},
        [fake](uint64_t seed) { return std::make_unique<FakeEnvironment>(fake, seed); });
    EXPECT_OK(collector);
    parts.collector = *std::move(collector);
    parts.writer = std::make_unique<testing::FakeReplayWriter>(&table_);
    parts.policies = policies_.Watch();
    if (spooled) {
      absl::StatusOr<std::unique_ptr<RecordSpool>> spool = RecordSpool::Open({.folder = folder_});
      EXPECT_OK(spool);
      parts.spool = *std::move(spool);
      absl::StatusOr<std::unique_ptr<SpoolDelivery>> delivery = SpoolDelivery::Open(parts.spool.get());
      EXPECT_OK(delivery);
      parts.delivery = *std::move(delivery);
    }
    parts.metrics = &metrics_;
    parts.trace_log = trace_log_;
    return std::make_unique<CollectionLoop>(options, std::move(parts));
  }

  // Waits for a figure or state of the loop; reads it at most every 2 ms.
  template <typename Predicate>
  static bool AwaitStatus(const CollectionLoop& loop, const Predicate& predicate) {
    absl::Mutex mutex;
    absl::MutexLock lock(&mutex);
    const auto never = [] { return false; };
    for (int i = 0; i < 10'000; ++i) {
      if (predicate(loop.Status())) {
        return true;
      }
      mutex.AwaitWithTimeout(absl::Condition(&never), absl::Milliseconds(2));
    }
    return false;
  }

  static bool Finishes(const CollectionLoop& loop) {
    return AwaitStatus(loop, [](const ComponentStatus& status) { return status.detail == "finished"; });
  }
  static bool BecomesUnhealthy(const CollectionLoop& loop) {
    return AwaitStatus(
        loop, [](const ComponentStatus& status) { return status.state == ComponentState::kUnhealthy; });
  }
  void AllowRows(int64_t rows) {
    absl::MutexLock lock(&table_.mutex);
    table_.rows_allowed = rows;
  }

  std::vector<Segment> Segments() {
    absl::MutexLock lock(&table_.mutex);
    std::vector<Segment> segments;
    for (const TransitionChunk& chunk : table_.chunks) {
      segments.insert(segments.end(), chunk.segments.begin(), chunk.segments.end());
    }
    return segments;
  }
  std::vector<uint64_t> Versions() {
    std::vector<uint64_t> versions;
    for (const Segment& segment : Segments()) {
      versions.insert(versions.end(), segment.policy_versions.begin(), segment.policy_versions.end());
    }
    return versions;
  }
  static absl::Time Soon() { return absl::Now() + absl::Seconds(30); }

  const std::filesystem::path folder_;
  testing::FakeReplayTable table_;
  testing::FakeSnapshots policies_;
  std::unique_ptr<Metrics> registry_ = MakeLocalMetrics();
  ActorMetrics metrics_{*registry_};
  TraceLog* trace_log_ = nullptr;
  uint64_t start_count_ = 0;
};

}  // namespace demorl
