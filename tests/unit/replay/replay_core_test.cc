#include "services/replay/core/replay_core.h"

#include <limits>
#include <set>

#include "gtest/gtest.h"
#include "tests/fakes/fake_trace_log.h"
#include "tests/fakes/manual_clock.h"
#include "tests/unit/replay/replay_test_data.h"

namespace demorl {
namespace {

using ::demorl::testing::MakeChunk;
using ::demorl::testing::MakeCore;
using ::demorl::testing::MakePlannedSegment;
using ::demorl::testing::MakeSegment;
using ::demorl::testing::OpenTestWriter;
using ::demorl::testing::RowsInserted;
using ::demorl::testing::StatusIs;
using ::demorl::testing::TestEnvironment;
using ::demorl::testing::TestOptions;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const BatchSpec kOneRow = {.shares = {{"env", 1}}};

TEST(ReplayCoreTest, DropsAndCountsWhatItHasTakenBefore) {
  auto core = MakeCore(TestOptions());
  const WriterHandle writer = OpenTestWriter(core.get());
  EXPECT_OK(core->Append(writer, 1, MakeChunk({MakeSegment(1, 0, 3)})));
  EXPECT_OK(core->Append(writer, 1, MakeChunk({MakeSegment(1, 0, 3)})));
  EXPECT_OK(core->Append(writer, 2, MakeChunk({MakeSegment(1, 3, 2)})));
  EXPECT_OK(core->Append(writer, 1, MakeChunk({MakeSegment(1, 0, 3)})));
  EXPECT_EQ(RowsInserted(*core, "env"), 5);
  const AuditReport report = core->Audit();
  ASSERT_EQ(report.writers.size(), 1u);
  EXPECT_EQ(report.writers[0].duplicate_chunks, 2);
  EXPECT_EQ(report.writers[0].rows, 5);
  EXPECT_EQ(report.writers[0].accepted_sequence, 2u);
  EXPECT_THAT(report.violations, IsEmpty());
}

TEST(ReplayCoreTest, WaitingTimesGoOnWhileNothingHappens) {
  ManualClock clock;
  const std::unique_ptr<Metrics> metrics = MakeLocalMetrics();
  ASSERT_OK_AND_ASSIGN(const auto core, ReplayCore::Create(TestOptions(), clock, metrics.get()));
  Counter& waiting =
      metrics->GetCounter("demorl_replay_waiting_for_inserts_seconds_total", "", {{"table", "env"}});
  core->AddWaitingSampler("env", 1);
  clock.now += absl::Seconds(7);
  core->DescribeAll();
  EXPECT_EQ(waiting.Value(), 7);
  clock.now += absl::Seconds(3);
  core->AddWaitingSampler("env", -1);
  clock.now += absl::Seconds(5);
  core->DescribeAll();
  EXPECT_EQ(waiting.Value(), 10);
}

TEST(ReplayCoreTest, TellsHowOldTheRowsOfABatchAreOnAverage) {
  ManualClock clock;
  ASSERT_OK_AND_ASSIGN(const auto core, ReplayCore::Create(TestOptions(), clock, nullptr));
  const WriterHandle writer = OpenTestWriter(core.get());
  ASSERT_OK(core->Append(writer, 1, MakeChunk({MakeSegment(1, 0, 1)})));
  clock.now += absl::Seconds(6);
  ASSERT_OK(core->Append(writer, 2, MakeChunk({MakeSegment(1, 1, 1)})));
  clock.now += absl::Seconds(2);
  double old_rows = 0;
  ASSERT_OK_AND_ASSIGN(const DrawnBatch drawn, core->TrySample({.shares = {{"env", 10}}}));
  for (const uint64_t key : drawn.batch.keys) {
    old_rows += key == 0 ? 1 : 0;
  }
  EXPECT_EQ(drawn.mean_age, absl::Seconds(2) + 0.1 * old_rows * absl::Seconds(6));
}

TEST(ReplayCoreTest, ATraceGoesOnWithTheFirstBatchAndWithEachReader) {
  FakeTraceLog log;
  ASSERT_OK_AND_ASSIGN(const auto core,
                       ReplayCore::Create(TestOptions(), RealClock::Get(), nullptr, nullptr, &log));
  const WriterHandle writer = OpenTestWriter(core.get());
  TransitionChunk chunk = MakeChunk({MakeSegment(1, 0, 3)});
  chunk.trace = log.StartTrace();
  ASSERT_OK(core->Append(writer, 1, chunk));
  ASSERT_OK(core->Append(writer, 1, chunk));  // sent again
  ASSERT_EQ(log.spans().size(), 1u);
  const FakeTraceLog::Span append = log.spans()[0];
  EXPECT_EQ(append.content.name, "append");
  EXPECT_EQ(append.parent, chunk.trace);

  ASSERT_OK_AND_ASSIGN(const auto rows, core->ReadRows("env", 0, 10));
  EXPECT_THAT(rows->traces, ElementsAre(append.context));
  ASSERT_OK_AND_ASSIGN(const DrawnBatch drawn, core->TrySample(kOneRow));
  ASSERT_EQ(log.spans().size(), 2u);
  const FakeTraceLog::Span sample = log.spans()[1];
  EXPECT_EQ(sample.content.name, "sample");
  EXPECT_EQ(sample.parent, append.context);
  EXPECT_THAT(drawn.traces, ElementsAre(sample.context));
  ASSERT_OK_AND_ASSIGN(const DrawnBatch again, core->TrySample(kOneRow));
  EXPECT_THAT(again.traces, IsEmpty());
}

TEST(ReplayCoreTest, WithoutALogTracesPassThrough) {
  auto core = MakeCore(TestOptions());
  TransitionChunk chunk = MakeChunk({MakeSegment(1, 0, 3)});
  chunk.trace = TraceContext{.trace_id = {1}, .span_id = {2}};
  ASSERT_OK(core->Append(OpenTestWriter(core.get()), 1, chunk));
  ASSERT_OK_AND_ASSIGN(const DrawnBatch drawn, core->TrySample(kOneRow));
  EXPECT_THAT(drawn.traces, ElementsAre(*chunk.trace));
}

TEST(ReplayCoreTest, RefusesAGapAndNamesTheSequenceItWants) {
  auto core = MakeCore(TestOptions());
  const WriterHandle writer = OpenTestWriter(core.get());
  EXPECT_THAT(core->Append(writer, 2, MakeChunk({MakeSegment(1, 0, 3)})),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("sent sequence 2; want 1")));
  EXPECT_EQ(RowsInserted(*core, "env"), 0);
}

TEST(ReplayCoreTest, ANewerEpochFencesTheOldWriterAndGoesOnAfterIt) {
  auto core = MakeCore(TestOptions());
  const WriterHandle old_writer = OpenTestWriter(core.get(), "env", "actor", 1);
  EXPECT_OK(core->Append(old_writer, 1, MakeChunk({MakeSegment(1, 0, 3)})));
  const WriterHandle new_writer = OpenTestWriter(core.get(), "env", "actor", 2);
  EXPECT_THAT(core->Append(old_writer, 2, MakeChunk({MakeSegment(1, 3, 3)})),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("epoch 2")));
  EXPECT_THAT(
      core->OpenWriter(
          {.table = "env", .writer_id = "actor", .writer_epoch = 1, .environment = TestEnvironment()}),
      StatusIs(absl::StatusCode::kAborted, HasSubstr("epoch 2")));
  EXPECT_EQ(core->Position(new_writer).accepted_sequence, 1u);
  EXPECT_TRUE(core->Position(old_writer).fenced);
  EXPECT_FALSE(core->Position(new_writer).fenced);
  EXPECT_OK(core->Append(new_writer, 2, MakeChunk({MakeSegment(1, 0, 1)})));
  EXPECT_THAT(core->Audit().violations, IsEmpty());
}

TEST(ReplayCoreTest, RefusesOtherRunsSchemasAndTables) {
  auto core = MakeCore(TestOptions());
  EXPECT_OK(core->CheckRun("run"));
  EXPECT_THAT(core->CheckRun("walk"), StatusIs(absl::StatusCode::kFailedPrecondition,
                                               ::testing::AllOf(HasSubstr("'walk'"), HasSubstr("'run'"))));
  OpenTestWriter(core.get());
  EnvironmentSpec other = TestEnvironment();
  other.action_size = 2;
  EXPECT_THAT(core->OpenWriter({.table = "env", .writer_id = "b", .environment = other}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("schema_hash")));
  EXPECT_THAT(core->OpenWriter({.table = "envs", .writer_id = "b", .environment = other}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("there are: env, mpc")));
}

TEST(ReplayCoreTest, BatchesHoldTheRightNextObservationsAndTerminations) {
  auto core = MakeCore(TestOptions());
  const WriterHandle writer = OpenTestWriter(core.get());
  Segment terminated = MakeSegment(1, 0, 4);
  terminated.terminated = true;
  Segment truncated = MakeSegment(2, 0, 4);
  truncated.truncated = true;
  EXPECT_OK(core->Append(writer, 1, MakeChunk({terminated, truncated, MakeSegment(3, 0, 4)})));
  ASSERT_OK_AND_ASSIGN(const DrawnBatch drawn, core->TrySample({.shares = {{"env", 300}}}));
  std::set<uint64_t> keys;
  for (int i = 0; i < 300; ++i) {
    const auto row = static_cast<size_t>(i);
    const float episode = drawn.batch.observations[2 * row];
    const float step = drawn.batch.observations[2 * row + 1];
    EXPECT_EQ(drawn.batch.next_observations[2 * row], episode);
    EXPECT_EQ(drawn.batch.next_observations[2 * row + 1], step + 1);
    EXPECT_EQ(drawn.batch.rewards[row], step);
    EXPECT_EQ(drawn.batch.keys[row], static_cast<uint64_t>(4 * (episode - 1) + step));
    EXPECT_EQ(drawn.batch.terminated[row], episode == 1 && step == 3 ? 1 : 0);
    EXPECT_FLOAT_EQ(drawn.batch.probabilities[row], 1.0f / 12);
    keys.insert(drawn.batch.keys[row]);
  }
  EXPECT_EQ(keys.size(), 12u);
  EXPECT_EQ(drawn.rows_inserted, 12);
  EXPECT_THAT(drawn.table_sizes, ElementsAre(12));
}

TEST(ReplayCoreTest, MinimumSizeBlocksBatches) {
  ReplayOptions options = TestOptions();
  options.tables[0].rate_limiter.min_rows = 3;
  auto core = MakeCore(options);
  EXPECT_THAT(core->TrySample(kOneRow), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("waiting for 3")));
  const WriterHandle writer = OpenTestWriter(core.get());
  EXPECT_OK(core->Append(writer, 1, MakeChunk({MakeSegment(1, 0, 2)})));
  EXPECT_THAT(core->TrySample(kOneRow), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("waiting for 3")));
  EXPECT_OK(core->Append(writer, 2, MakeChunk({MakeSegment(1, 2, 1)})));
  EXPECT_OK(core->TrySample(kOneRow));
}

TEST(ReplayCoreTest, TheRateLimiterHoldsBothSides) {
  ReplayOptions options = TestOptions();
  options.tables[0].rate_limiter = {.updates_per_row = 2, .max_rows_ahead = 3, .min_rows = 2};
  auto core = MakeCore(options);
  const WriterHandle writer = OpenTestWriter(core.get());
  EXPECT_EQ(core->Position(writer).rows_allowed, 5);  // 2 + 0 / 2 + 3
  EXPECT_OK(core->Append(writer, 1, MakeChunk({MakeSegment(1, 0, 3)})));
  EXPECT_OK(core->TrySample(kOneRow));  // (3 - 2) * 2 = 2 updates earned
  EXPECT_OK(core->TrySample(kOneRow));
  EXPECT_THAT(core->TrySample(kOneRow), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("rate limit")));
  EXPECT_EQ(core->Position(writer).rows_allowed, 6);  // 2 + 2 / 2 + 3
  // A planner's draws are not updates: neither limited nor counted.
  EXPECT_OK(core->TrySample({.shares = {{"env", 10}}, .counts_as_update = false}));
  EXPECT_EQ(core->Describe("env")->updates, 2);
  EXPECT_EQ(core->Describe("env")->limiter_error, 0);
}

TEST(ReplayCoreTest, RobotsAreNeverHeldBack) {
  ReplayOptions options = TestOptions();
  options.tables[0].rate_limiter = {.updates_per_row = 1, .max_rows_ahead = 3, .min_rows = 1};
  auto core = MakeCore(options);
  ASSERT_OK_AND_ASSIGN(
      const WriterHandle robot,
      core->OpenWriter(
          {.table = "env", .writer_id = "robot", .environment = TestEnvironment(), .simulated = false}));
  EXPECT_EQ(core->Position(robot).rows_allowed, RateLimiter::kUnlimitedRows);
  EXPECT_OK(core->Append(robot, 1, MakeChunk({MakeSegment(1, 0, 30)})));
}

TEST(ReplayCoreTest, ComposesBatchesAndFillsEmptyTablesFromTheFirst) {
  auto core = MakeCore(TestOptions());
  const BatchSpec spec = {.shares = {{"env", 3}, {"mpc", 5}}, .may_be_empty = {"mpc"}};
  BatchSpec strict = spec;
  strict.may_be_empty.clear();
  EXPECT_OK(core->Append(OpenTestWriter(core.get()), 1, MakeChunk({MakeSegment(1, 0, 2)})));
  EXPECT_THAT(core->TrySample(strict), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("'mpc'")));
  ASSERT_OK_AND_ASSIGN(const DrawnBatch early, core->TrySample(spec));
  EXPECT_EQ(early.batch.num_rows, 8);
  EXPECT_THAT(early.table_sizes, ElementsAre(2, 0));
  EXPECT_EQ(early.dynamics_version, 0u);

  EXPECT_OK(core->Append(OpenTestWriter(core.get(), "mpc", "planner"), 1,
                         MakeChunk({MakePlannedSegment(50, 1, 4)})));
  ASSERT_OK_AND_ASSIGN(const DrawnBatch drawn, core->TrySample(spec));
  EXPECT_THAT(drawn.table_sizes, ElementsAre(2, 4));
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(drawn.batch.observations[2 * i], i < 3 ? 1 : 50);
  }
  EXPECT_EQ(drawn.rows_inserted, 2);
}

TEST(ReplayCoreTest, ABatchNamesTheNewestDynamicsBehindItsPlannedRows) {
  auto core = MakeCore(TestOptions());
  EXPECT_OK(core->Append(OpenTestWriter(core.get()), 1, MakeChunk({MakeSegment(1, 0, 2)})));
  const Segment older = MakePlannedSegment(50, 11, 4), newer = MakePlannedSegment(51, 12, 4);
  EXPECT_OK(core->Append(OpenTestWriter(core.get(), "mpc", "planner"), 1, MakeChunk({newer, older})));
  ASSERT_OK_AND_ASSIGN(const DrawnBatch drawn, core->TrySample({.shares = {{"env", 1}, {"mpc", 60}}}));
  EXPECT_EQ(drawn.dynamics_version, 12u);
}

TEST(ReplayCoreTest, RefusesCompositionsThatCanNeverBeMet) {
  auto core = MakeCore(TestOptions());
  EXPECT_THAT(core->TrySample({}), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("without shares")));
  EXPECT_THAT(core->TrySample({.shares = {{"env", 0}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0 rows")));
  EXPECT_THAT(core->TrySample({.shares = {{"env", 1}, {"env", 1}}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("once")));
  EXPECT_THAT(core->TrySample({.shares = {{"env", 1}}, .may_be_empty = {"env"}}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("may_be_empty")));
  EXPECT_THAT(core->TrySample({.shares = {{"other", 1}}}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("'other'")));
}

TEST(ReplayCoreTest, FifoTablesGiveEachRowOnce) {
  ReplayOptions options = TestOptions();
  options.tables[0].selector = SelectorKind::kFifo;
  auto core = MakeCore(options);
  EXPECT_OK(core->Append(OpenTestWriter(core.get()), 1, MakeChunk({MakeSegment(1, 0, 5)})));
  ASSERT_OK_AND_ASSIGN(const DrawnBatch drawn, core->TrySample({.shares = {{"env", 3}}}));
  EXPECT_THAT(drawn.batch.keys, ElementsAre(0, 1, 2));
  EXPECT_THAT(core->TrySample({.shares = {{"env", 3}}}),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("env")));
  ASSERT_OK_AND_ASSIGN(const DrawnBatch rest, core->TrySample({.shares = {{"env", 2}}}));
  EXPECT_THAT(rest.batch.keys, ElementsAre(3, 4));
}

TEST(ReplayCoreTest, QuarantinedRowsNeverReachABatch) {
  auto core = MakeCore(TestOptions());
  const WriterHandle writer = OpenTestWriter(core.get());
  Segment bad = MakeSegment(1, 0, 5);
  bad.rewards[2] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_OK(core->Append(writer, 1, MakeChunk({bad}), 6));
  EXPECT_EQ(RowsInserted(*core, "env"), 4);
  const TableSummary table = *core->Describe("env");
  EXPECT_EQ(table.rows_quarantined, (QuarantineCounts{{"non_finite", 1}, {"malformed", 6}}));
  EXPECT_EQ(core->Position(writer).rows_quarantined, 7);
  EXPECT_EQ(core->Position(writer).accepted_sequence, 1u);
  ASSERT_OK_AND_ASSIGN(const DrawnBatch drawn, core->TrySample({.shares = {{"env", 100}}}));
  for (const float reward : drawn.batch.rewards) {
    EXPECT_TRUE(std::isfinite(reward));
  }
}

TEST(ReplayCoreTest, PlannedRowsAgeByTheRowsOfTheEnvironment) {
  ReplayOptions options = TestOptions();
  options.tables[1].max_age_environment_rows = 4;
  auto core = MakeCore(options);
  const WriterHandle actor = OpenTestWriter(core.get());
  const WriterHandle planner = OpenTestWriter(core.get(), "mpc", "planner");
  EXPECT_OK(core->Append(actor, 1, MakeChunk({MakeSegment(1, 0, 2)})));
  EXPECT_OK(core->Append(planner, 1, MakeChunk({MakePlannedSegment(1, 1, 3)})));
  EXPECT_OK(core->Append(actor, 2, MakeChunk({MakeSegment(1, 2, 3)})));
  EXPECT_EQ(core->Describe("mpc")->size, 3);
  EXPECT_OK(core->Append(actor, 3, MakeChunk({MakeSegment(1, 5, 1)})));  // 6 rows: 4 after their insertion
  EXPECT_EQ(core->Describe("mpc")->size, 0);
}

TEST(ReplayCoreTest, ReadsFollowTheTable) {
  auto core = MakeCore(TestOptions());
  EXPECT_FALSE(core->ReadRows("env", 0, 10).value().has_value());
  Segment ending = MakeSegment(1, 3, 3);
  ending.terminated = true;
  EXPECT_OK(core->Append(OpenTestWriter(core.get()), 1, MakeChunk({MakeSegment(1, 0, 3), ending})));
  const RowsRead rows = core->ReadRows("env", 1, 4).value().value();
  EXPECT_EQ(rows.position, 1u);
  EXPECT_EQ(rows.next_position, 5u);
  ASSERT_EQ(rows.chunk.segments.size(), 2u);
  EXPECT_EQ(rows.chunk.segments[1].rewards, (std::vector<float>{3, 4}));
  EXPECT_FALSE(rows.chunk.segments[1].terminated);
  EXPECT_TRUE(core->ReadRows("env", 5, 4).value().value().chunk.segments[0].terminated);
  EXPECT_THAT(core->ReadRows("env", 7, 4), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("position 7")));
}

TEST(ReplayCoreTest, TellsTheListenerOfEveryChangeThatMayUnblock) {
  auto core = MakeCore(TestOptions());
  int changes = 0;
  core->SetChangeListener([&changes] { ++changes; });
  const WriterHandle writer = OpenTestWriter(core.get());
  const int before = changes;
  EXPECT_OK(core->Append(writer, 1, MakeChunk({MakeSegment(1, 0, 3)})));
  EXPECT_EQ(changes, before + 1);
  EXPECT_OK(core->TrySample(kOneRow));
  EXPECT_EQ(changes, before + 2);
  core->Close();
  EXPECT_EQ(changes, before + 3);
}

TEST(ReplayCoreTest, ClosedAndPausedAreTwoThings) {
  auto core = MakeCore(TestOptions());
  const WriterHandle writer = OpenTestWriter(core.get());
  EXPECT_OK(core->Append(writer, 1, MakeChunk({MakeSegment(1, 0, 3)})));
  core->SetPaused(true);
  EXPECT_THAT(core->TrySample(kOneRow), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("paused")));
  EXPECT_OK(core->Append(writer, 2, MakeChunk({MakeSegment(1, 3, 3)})));
  core->SetPaused(false);
  EXPECT_OK(core->TrySample(kOneRow));
  core->Close();
  EXPECT_THAT(core->TrySample(kOneRow), StatusIs(absl::StatusCode::kCancelled, HasSubstr("closed")));
  EXPECT_THAT(core->Append(writer, 3, MakeChunk({MakeSegment(1, 6, 3)})),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("closed")));
}

TEST(ReplayCoreTest, SameSeedSameBatchesOtherSeedOthers) {
  ReplayOptions other_seed = TestOptions();
  other_seed.seed = 8;
  std::vector<std::vector<uint64_t>> keys;
  for (const ReplayOptions& options : {TestOptions(), TestOptions(), other_seed}) {
    auto core = MakeCore(options);
    EXPECT_OK(core->Append(OpenTestWriter(core.get()), 1, MakeChunk({MakeSegment(1, 0, 50)})));
    keys.push_back(core->TrySample({.shares = {{"env", 20}}})->batch.keys);
  }
  EXPECT_EQ(keys[0], keys[1]);
  EXPECT_NE(keys[0], keys[2]);
}

TEST(ReplayCoreTest, ARestoredStateGoesOnAsTheFirstWouldHave) {
  ReplayOptions options = TestOptions();
  options.tables[0].max_rows = 20;
  options.tables[0].rate_limiter = {.updates_per_row = 1, .max_rows_ahead = 25, .min_rows = 5};
  options.tables[1].retained_rounds = 1;
  auto core = MakeCore(options);
  const WriterHandle writer = OpenTestWriter(core.get());
  const WriterHandle planner = OpenTestWriter(core.get(), "mpc", "planner");
  EXPECT_OK(core->Append(writer, 1, MakeChunk({MakeSegment(1, 0, 23)})));
  EXPECT_OK(core->Append(planner, 1, MakeChunk({MakePlannedSegment(1, 1, 3), MakePlannedSegment(2, 1, 3)})));
  const BatchSpec spec = {.shares = {{"env", 4}, {"mpc", 4}}};
  EXPECT_OK(core->TrySample(spec));

  const std::string state = core->SaveState();
  auto restored = MakeCore(options);
  ASSERT_OK(restored->RestoreState(state));
  EXPECT_EQ(restored->SaveState(), state);
  const WriterHandle restored_writer = OpenTestWriter(restored.get());
  EXPECT_EQ(restored->Position(restored_writer).accepted_sequence, 1u);
  EXPECT_OK(core->Append(writer, 2, MakeChunk({MakeSegment(1, 23, 3)})));
  EXPECT_OK(restored->Append(restored_writer, 2, MakeChunk({MakeSegment(1, 23, 3)})));
  for (int i = 0; i < 20; ++i) {
    const auto expected = core->TrySample(spec);
    const auto found = restored->TrySample(spec);
    ASSERT_OK(expected);
    ASSERT_OK(found);
    EXPECT_EQ(expected->batch.keys, found->batch.keys);
    EXPECT_EQ(expected->batch.observations, found->batch.observations);
  }
  EXPECT_EQ(core->TrySample(spec).status().code(), restored->TrySample(spec).status().code());
  EXPECT_EQ(core->SaveState(), restored->SaveState());
  EXPECT_THAT(restored->Audit().violations, IsEmpty());
}

TEST(ReplayCoreTest, RefusesDamagedStatesAndThoseOfOtherRuns) {
  auto core = MakeCore(TestOptions());
  EXPECT_OK(core->Append(OpenTestWriter(core.get()), 1, MakeChunk({MakeSegment(1, 0, 2)})));
  const std::string state = core->SaveState();
  for (size_t i = 0; i < state.size(); i += 7) {
    std::string damaged = state;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_THAT(MakeCore(TestOptions())->RestoreState(damaged),
                StatusIs(absl::StatusCode::kDataLoss, ::testing::_));
  }
  ReplayOptions other = TestOptions();
  other.run_id = "other";
  EXPECT_THAT(MakeCore(other)->RestoreState(state),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("'other'")));
}

}  // namespace
}  // namespace demorl
