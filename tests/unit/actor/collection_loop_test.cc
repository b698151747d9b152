#include "services/actor/collection_loop.h"

#include <unistd.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <limits>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/tensor/trace_codec.h"
#include "gtest/gtest.h"
#include "services/actor/core/environment_factory.h"
#include "tests/fakes/fake_environment.h"
#include "tests/fakes/fake_planner.h"
#include "tests/fakes/fake_trace_log.h"
#include "tests/fakes/policies.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

// A replay table in memory, shared by the writers that a test opens one after another.
struct FakeTable {
  absl::Mutex mutex;
  std::vector<TransitionChunk> chunks;
  int64_t rows = 0;
  int64_t rows_allowed = 1'000'000;
  uint64_t accepted = 0;
  // Sequence beyond which nothing is acknowledged as durable.
  uint64_t durable_limit = std::numeric_limits<uint64_t>::max();
  bool reachable = true;
  absl::Status append_status;

  template <typename Predicate>
  bool Await(const Predicate& predicate) {
    absl::MutexLock lock(&mutex);
    return mutex.AwaitWithTimeout(absl::Condition(&predicate), absl::Seconds(30));
  }
};

class FakeWriter final : public ReplayWriter {
 public:
  explicit FakeWriter(FakeTable* table) : table_(table) {}

  absl::Status Append(const TransitionChunk& chunk, absl::Time deadline) override {
    absl::MutexLock lock(&table_->mutex);
    RETURN_IF_ERROR(table_->append_status);
    const auto ready = [this] { return table_->reachable || closed_; };
    if (!table_->mutex.AwaitWithDeadline(absl::Condition(&ready), deadline)) {
      return absl::DeadlineExceededError("replay does not answer");
    }
    if (closed_) {
      return absl::CancelledError("closed");
    }
    table_->chunks.push_back(chunk);
    table_->rows += chunk.num_rows();
    ++table_->accepted;
    return absl::OkStatus();
  }
  int64_t RowsAllowed() override {
    absl::MutexLock lock(&table_->mutex);
    return table_->rows_allowed - table_->rows;
  }
  absl::Status WaitForRowsAllowed(int64_t rows, absl::Time deadline) override {
    absl::MutexLock lock(&table_->mutex);
    const auto ready = [&] {
      return closed_ || (table_->reachable && table_->rows_allowed - table_->rows >= rows);
    };
    if (!table_->mutex.AwaitWithDeadline(absl::Condition(&ready), deadline)) {
      return absl::DeadlineExceededError("not allowed yet");
    }
    return closed_ ? absl::CancelledError("closed") : absl::OkStatus();
  }
  int64_t RowsInserted() const override {
    absl::MutexLock lock(&table_->mutex);
    return table_->rows;
  }
  uint64_t LastSequence() const override {
    absl::MutexLock lock(&table_->mutex);
    return table_->accepted;
  }
  uint64_t DurableSequence() const override {
    absl::MutexLock lock(&table_->mutex);
    return std::min(table_->accepted, table_->durable_limit);
  }
  absl::Status Flush(absl::Time deadline) override {
    absl::MutexLock lock(&table_->mutex);
    const auto ready = [this] { return closed_ || table_->accepted <= table_->durable_limit; };
    if (!table_->mutex.AwaitWithDeadline(absl::Condition(&ready), deadline)) {
      return absl::DeadlineExceededError("not durable yet");
    }
    return closed_ ? absl::CancelledError("closed") : absl::OkStatus();
  }
  void Close() override {
    absl::MutexLock lock(&table_->mutex);
    closed_ = true;
  }

 private:
  FakeTable* const table_;
  bool closed_ = false;
};

struct FakePolicies {
  absl::Mutex mutex;
  std::shared_ptr<const Snapshot> latest;

  void Publish(uint64_t version, const TensorFile& tensors, const std::vector<TraceContext>& traces = {}) {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->metadata.set_version(version);
    EncodeTraceContexts(traces, snapshot->metadata.mutable_traces());
    snapshot->payload = EncodeSafetensors(tensors);
    absl::MutexLock lock(&mutex);
    latest = std::move(snapshot);
  }
};

class FakeWatch final : public SnapshotWatch {
 public:
  explicit FakeWatch(FakePolicies* policies) : policies_(policies) {}
  std::shared_ptr<const Snapshot> Latest() const override {
    absl::MutexLock lock(&policies_->mutex);
    return policies_->latest;
  }
  absl::StatusOr<std::shared_ptr<const Snapshot>> WaitForNewer(uint64_t known, absl::Time deadline) override {
    absl::MutexLock lock(&policies_->mutex);
    const auto ready = [&] {
      return policies_->latest != nullptr && policies_->latest->metadata.version() != known;
    };
    if (!policies_->mutex.AwaitWithDeadline(absl::Condition(&ready), deadline)) {
      return absl::DeadlineExceededError("nothing newer");
    }
    return policies_->latest;
  }
  void Close() override {}

 private:
  FakePolicies* const policies_;
};

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
    if (policies_.latest == nullptr && options.first_policy_wait == CollectionOptions{}.first_policy_wait) {
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
    parts.writer = std::make_unique<FakeWriter>(&table_);
    parts.policies = std::make_unique<FakeWatch>(&policies_);
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
  FakeTable table_;
  FakePolicies policies_;
  std::unique_ptr<Metrics> registry_ = MakeLocalMetrics();
  ActorMetrics metrics_{*registry_};
  TraceLog* trace_log_ = nullptr;
  uint64_t start_count_ = 0;
};

TEST_F(CollectionLoopTest, CollectsExactlyTheStepsOfTheRunAndThenReportsThatItIsFinished) {
  const auto loop = Make({.environment_steps = 105, .learning_starts = 1000, .max_run_ahead_steps = 25});
  loop->Start();
  ASSERT_TRUE(AwaitStatus(*loop, [](const auto& status) { return status.detail == "finished"; }));
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

TEST_F(CollectionLoopTest, ChunksBeginTracesAndThoseOfAPolicyEndAtItsFirstStep) {
  FakeTraceLog log;
  trace_log_ = &log;
  const TraceContext learned = {.trace_id = {200}, .span_id = {200}};
  policies_.Publish(3, ConstantPolicy(3, 2, 0.5f), {learned});
  const auto loop = Make({.environment_steps = 60, .learning_starts = 20, .max_run_ahead_steps = 25});
  loop->Start();
  ASSERT_TRUE(AwaitStatus(*loop, [](const auto& status) { return status.detail == "finished"; }));
  ASSERT_OK(loop->Drain(Soon()));
  std::vector<FakeTraceLog::Span> collected;
  int num_applied = 0;
  for (const FakeTraceLog::Span& span : log.spans()) {
    EXPECT_LE(span.content.start, span.content.end);
    if (span.content.name == "collect") {
      EXPECT_FALSE(span.parent.has_value());
      collected.push_back(span);
    } else {
      EXPECT_EQ(span.content.name, "apply");
      EXPECT_EQ(span.parent, learned);
      ++num_applied;
    }
  }
  EXPECT_EQ(num_applied, 1);
  ASSERT_EQ(collected.size(), table_.chunks.size());
  for (size_t i = 0; i < collected.size(); ++i) {
    EXPECT_EQ(table_.chunks[i].trace, collected[i].context);
  }
}

TEST_F(CollectionLoopTest, ActsAtRandomUntilLearningStartsAndWithThePolicyAfterwards) {
  policies_.Publish(3, ConstantPolicy(3, 2, 0.5f));
  const auto loop = Make({.environment_steps = 60, .learning_starts = 20, .max_run_ahead_steps = 25});
  loop->Start();
  ASSERT_TRUE(AwaitStatus(*loop, [](const auto& status) { return status.detail == "finished"; }));
  ASSERT_OK(loop->Drain(Soon()));
  std::vector<uint64_t> expected(60, 3);
  std::fill_n(expected.begin(), 20, 0);
  EXPECT_EQ(Versions(), expected);
}

TEST_F(CollectionLoopTest, WaitsForItsFirstPolicyOnceLearningHasStarted) {
  const auto loop = Make({.environment_steps = 60,
                          .learning_starts = 20,
                          .max_run_ahead_steps = 25,
                          .first_policy_wait = absl::Seconds(30)});
  loop->Start();
  ASSERT_TRUE(table_.Await([this] { return table_.rows == 20; }));
  policies_.Publish(2, ConstantPolicy(3, 2, 0.5f));
  ASSERT_TRUE(AwaitStatus(*loop, [](const auto& status) { return status.detail == "finished"; }));
  ASSERT_OK(loop->Drain(Soon()));
  std::vector<uint64_t> expected(60, 2);
  std::fill_n(expected.begin(), 20, 0);
  EXPECT_EQ(Versions(), expected);
}

TEST_F(CollectionLoopTest, AdoptsNewPoliciesAlsoAfterTheLastStepForEvaluationsToUse) {
  policies_.Publish(1, ConstantPolicy(3, 2, 0.5f));
  const auto loop = Make({.environment_steps = 10, .max_run_ahead_steps = 25});
  loop->Start();
  ASSERT_TRUE(AwaitStatus(*loop, [](const auto& status) { return status.detail == "finished"; }));
  policies_.Publish(2, ConstantPolicy(3, 2, 0.5f));
  ASSERT_TRUE(
      AwaitStatus(*loop, [](const auto& status) { return status.figures.at("policy_version") == 2; }));
  EXPECT_EQ(loop->CurrentPolicy()->version, 2u);
  EXPECT_EQ(loop->Status().detail, "finished");
  ASSERT_OK(loop->Drain(Soon()));
}

TEST_F(CollectionLoopTest, CountsTheRowsThatTheTableHadBefore) {
  table_.rows = 50;
  policies_.Publish(1, ConstantPolicy(3, 2, 0.5f));
  const auto loop = Make({.environment_steps = 60, .learning_starts = 20, .max_run_ahead_steps = 25});
  loop->Start();
  ASSERT_TRUE(AwaitStatus(*loop, [](const auto& status) { return status.detail == "finished"; }));
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
  {
    absl::MutexLock lock(&table_.mutex);
    table_.rows_allowed = 14;
  }
  ASSERT_TRUE(table_.Await([this] { return table_.rows == 14; }));
  ASSERT_OK(loop->Drain(Soon()));
}

TEST_F(CollectionLoopTest, IsNotStuckWhenItStepsMoreEnvironmentsThanTheLimitAllowsAtOnce) {
  table_.rows_allowed = 5;
  const auto loop = Make({.environment_steps = 32, .num_environments = 16, .max_run_ahead_steps = 5});
  loop->Start();
  ASSERT_TRUE(table_.Await([this] { return table_.rows == 16; }));
  {
    absl::MutexLock lock(&table_.mutex);
    table_.rows_allowed = 21;
  }
  ASSERT_TRUE(table_.Await([this] { return table_.rows == 32; }));
  ASSERT_OK(loop->Drain(Soon()));
}

TEST_F(CollectionLoopTest, SwapsPoliciesWhileItRunsAndKeepsTheLastGoodOne) {
  table_.rows_allowed = 5;
  policies_.Publish(1, ConstantPolicy(3, 2, 0.1f));
  const auto loop = Make({.environment_steps = 1000, .max_run_ahead_steps = 25}, {.episode_steps = 1000});
  loop->Start();
  const auto grow = [this](int64_t rows) {
    {
      absl::MutexLock lock(&table_.mutex);
      table_.rows_allowed = rows;
    }
    return table_.Await([this, rows] { return table_.rows == rows; });
  };
  ASSERT_TRUE(grow(5));
  const auto figure = [&](const char* name, double value) {
    return AwaitStatus(*loop, [&](const auto& status) {
      const auto found = status.figures.find(name);
      return found != status.figures.end() && found->second == value;
    });
  };
  policies_.Publish(2, ConstantPolicy(3, 2, 0.2f));
  ASSERT_TRUE(figure("policy_version", 2));
  ASSERT_TRUE(grow(10));
  policies_.Publish(3, ConstantPolicy(3, 2, std::nanf("")));
  ASSERT_TRUE(figure("policies_refused", 1));
  policies_.Publish(4, ConstantPolicy(4, 2, 0.4f));
  ASSERT_TRUE(figure("policies_refused", 2));
  ASSERT_TRUE(grow(15));
  ASSERT_TRUE(figure("policy_lag", 2));
  EXPECT_EQ(loop->CurrentPolicy()->version, 2u);
  EXPECT_EQ(loop->Status().state, ComponentState::kRunning);
  policies_.Publish(5, ConstantPolicy(3, 2, 0.5f));
  ASSERT_TRUE(figure("policy_version", 5));
  ASSERT_OK(loop->Drain(Soon()));
  const std::vector<uint64_t> versions = Versions();
  EXPECT_EQ(versions, (std::vector<uint64_t>{1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2}));
  EXPECT_EQ(metrics_.policies_refused.Value(), 2);
}

TEST_F(CollectionLoopTest, BecomesUnhealthyAfterTooManyUnusablePolicies) {
  table_.rows_allowed = 1;
  const auto loop = Make({.environment_steps = 1000, .max_run_ahead_steps = 25, .max_failures = 2});
  loop->Start();
  for (int i = 1; i <= 2; ++i) {
    policies_.Publish(i, ConstantPolicy(4, 2, 0.1f));
    AwaitStatus(*loop, [&](const auto& status) {
      return status.state == ComponentState::kUnhealthy || metrics_.policies_refused.Value() == i;
    });
  }
  ASSERT_TRUE(
      AwaitStatus(*loop, [](const auto& status) { return status.state == ComponentState::kUnhealthy; }));
  EXPECT_THAT(loop->Status().detail, HasSubstr("2 policies in a row"));
  EXPECT_THAT(loop->Drain(Soon()), StatusIs(absl::StatusCode::kInternal, HasSubstr("2 policies")));
}

TEST_F(CollectionLoopTest, BecomesUnhealthyWhenTheSimulatorOnlyGivesNonFiniteNumbers) {
  const auto loop = Make({.environment_steps = 1000, .max_run_ahead_steps = 25}, {.non_finite_reset = true});
  loop->Start();
  ASSERT_TRUE(
      AwaitStatus(*loop, [](const auto& status) { return status.state == ComponentState::kUnhealthy; }));
  EXPECT_THAT(loop->Status().detail, HasSubstr("non-finite"));
  EXPECT_FALSE(loop->Drain(Soon()).ok());
  EXPECT_EQ(table_.rows, 0);
}

TEST_F(CollectionLoopTest, BecomesUnhealthyWhenANewerEpochFencesIt) {
  table_.append_status = absl::AbortedError("epoch 2 has taken over");
  const auto loop = Make({.environment_steps = 1000, .max_run_ahead_steps = 25});
  loop->Start();
  ASSERT_TRUE(
      AwaitStatus(*loop, [](const auto& status) { return status.state == ComponentState::kUnhealthy; }));
  EXPECT_THAT(loop->Drain(Soon()), StatusIs(absl::StatusCode::kAborted, HasSubstr("epoch 2")));
}

TEST_F(CollectionLoopTest, CutsEpisodesAsTruncatedWhenItDrains) {
  table_.rows_allowed = 5;
  const auto loop =
      Make({.environment_steps = 100, .max_run_ahead_steps = 25}, {.episode_steps = 1000}, false, 100);
  loop->Start();
  ASSERT_TRUE(table_.Await([this] { return table_.rows == 5; }));
  {
    absl::MutexLock lock(&table_.mutex);
    table_.rows_allowed = 1'000'000;
    table_.reachable = true;
  }
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
  ASSERT_TRUE(AwaitStatus(*loop, [](const auto& status) { return status.detail == "finished"; }));
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

// Plans once `ready`.
class LatePlanner final : public OnlinePlanner {
 public:
  LatePlanner(const std::atomic<bool>* ready, const absl::Status& until_then)
      : ready_(ready), until_then_(until_then) {}
  absl::StatusOr<PlannedAction> Plan(const PlanningState& /*state*/) override {
    return *ready_ ? absl::StatusOr<PlannedAction>(PlannedAction{.action = {0.5F, 0}, .policy_version = 9})
                   : until_then_;
  }

 private:
  const std::atomic<bool>* const ready_;
  const absl::Status until_then_;
};

class PlannedCollectionTest : public CollectionLoopTest {
 protected:
  std::unique_ptr<CollectionLoop> MakePlanned(const absl::Status& until_ready) {
    return Make({.environment_steps = 30, .learning_starts = 12, .max_run_ahead_steps = 25, .planned = true},
                {}, false, 10,
                {.make_planner = [this, until_ready]() -> absl::StatusOr<std::unique_ptr<OnlinePlanner>> {
                  return std::make_unique<LatePlanner>(&ready_, until_ready);
                }});
  }

  std::atomic<bool> ready_{false};
};

TEST_F(PlannedCollectionTest, WaitsForThePlannerWithAllRowsHandedOver) {
  const auto loop = MakePlanned(absl::UnavailableError("no model yet"));
  loop->Start();
  // A model of these very rows may be what the planner waits for.
  ASSERT_TRUE(table_.Await([this] { return table_.rows == 12; }));
  ASSERT_TRUE(AwaitStatus(*loop, [](const auto& status) {
    return absl::StrContains(status.detail, "waiting for a plan: no model yet");
  }));
  ready_ = true;
  ASSERT_TRUE(AwaitStatus(*loop, [](const auto& status) { return status.detail == "finished"; }));
  ASSERT_OK(loop->Drain(Soon()));
  std::vector<uint64_t> expected(30, 9);
  std::fill_n(expected.begin(), 12, 0);
  EXPECT_EQ(Versions(), expected);
}

TEST_F(PlannedCollectionTest, DrainsWhileItWaitsForThePlanner) {
  const auto loop = MakePlanned(absl::CancelledError("the planning client is closed"));
  loop->Start();
  ASSERT_TRUE(AwaitStatus(
      *loop, [](const auto& status) { return absl::StrContains(status.detail, "waiting for a plan"); }));
  ASSERT_OK(loop->Drain(Soon()));
  EXPECT_EQ(Versions(), std::vector<uint64_t>(12, 0));
}

TEST_F(PlannedCollectionTest, APlannerOfAnotherRunMakesItUnhealthy) {
  const auto loop = MakePlanned(absl::FailedPreconditionError("this planner serves run 'other'"));
  loop->Start();
  ASSERT_TRUE(
      AwaitStatus(*loop, [](const auto& status) { return status.state == ComponentState::kUnhealthy; }));
  EXPECT_THAT(loop->Status().detail, HasSubstr("other"));
}

}  // namespace
}  // namespace demorl
