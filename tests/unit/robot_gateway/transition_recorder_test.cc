#include "services/robot_gateway/transition_recorder.h"

#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/robot/recording/tick_log_reader.h"
#include "common/tensor/transition_codec.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_trace_log.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/robot_gateway/robot_ticks.h"

namespace demorl {
namespace {

using ::demorl::testing::kRobotActionSize;
using ::demorl::testing::kRobotObservationSize;
using ::demorl::testing::RobotRows;
using ::demorl::testing::RobotTick;
using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

absl::Time Soon() { return absl::Now() + absl::Seconds(30); }

class TransitionRecorderTest : public ::testing::Test {
 protected:
  TransitionRecorderTest()
      : folder_(std::filesystem::path(::testing::TempDir()) /
                absl::StrCat("recorder_", getpid(), "_",
                             ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    absl::StatusOr<std::unique_ptr<RecordSpool>> spool = RecordSpool::Open({.folder = folder_ / "spool"});
    EXPECT_OK(spool);
    spool_ = *std::move(spool);
    options_.segments = {.observation_size = kRobotObservationSize, .action_size = kRobotActionSize};
  }
  ~TransitionRecorderTest() override {
    recorder_.reset();
    std::filesystem::remove_all(folder_);
  }

  TransitionRecorder& recorder() {
    if (recorder_ == nullptr) {
      recorder_ = std::make_unique<TransitionRecorder>(
          options_, TransitionRecorder::Parts{
                        .ticks = &ticks_, .log = log_.get(), .spool = spool_.get(), .trace_log = trace_log_});
      recorder_->Start();
    }
    return *recorder_;
  }
  // Ticks `first` to `last`, as fast as the ring takes them.
  void Push(uint64_t first, uint64_t last) {
    for (uint64_t i = first; i <= last; ++i) {
      const absl::Time give_up = Soon();
      while (!ticks_.TryPush(RobotTick(i))) {
        ASSERT_LT(absl::Now(), give_up);
      }
    }
  }
  bool Await(const std::function<bool(const TransitionRecorder::Figures&)>& predicate) {
    const absl::Time give_up = Soon();
    while (!predicate(recorder().figures())) {
      if (absl::Now() > give_up) {
        return false;
      }
      absl::SleepFor(absl::Milliseconds(1));
    }
    return true;
  }
  std::vector<TransitionChunk> SpooledChunks() {
    std::vector<TransitionChunk> chunks;
    RecordSpool::Reader reader(spool_.get());
    while (true) {
      const auto record = reader.Next();
      EXPECT_OK(record);
      if (!record.ok() || !record->has_value()) {
        return chunks;
      }
      demorl::common::v1::TransitionChunk message;
      EXPECT_TRUE(message.ParseFromString((*record)->payload));
      const auto chunk = DecodeTransitionChunk(message);
      EXPECT_OK(chunk);
      chunks.push_back(*chunk);
    }
  }
  std::vector<Segment> SpooledSegments() {
    std::vector<Segment> segments;
    for (const TransitionChunk& chunk : SpooledChunks()) {
      segments.insert(segments.end(), chunk.segments.begin(), chunk.segments.end());
    }
    return segments;
  }

  const std::filesystem::path folder_;
  SpscRing<TickRecord> ticks_{256};
  std::unique_ptr<RecordSpool> spool_;
  std::unique_ptr<TickLog> log_;
  TraceLog* trace_log_ = nullptr;
  TransitionRecorder::Options options_;
  std::unique_ptr<TransitionRecorder> recorder_;
};

TEST_F(TransitionRecorderTest, SpoolsEveryRowAndTruncatesTheLastEpisodeWhenDrained) {
  recorder();
  Push(0, 999);
  ASSERT_OK(recorder().Drain(Soon()));
  int64_t rows = 0;
  float reward = 0;
  for (const Segment& segment : SpooledSegments()) {
    rows += segment.num_steps;
    for (const float next : segment.rewards) {
      EXPECT_GT(next, reward);
      reward = next;
    }
  }
  EXPECT_EQ(rows, RobotRows(1000));
  EXPECT_TRUE(SpooledSegments().back().truncated);
  const TransitionRecorder::Figures figures = recorder().figures();
  EXPECT_EQ(figures.ticks, 1000);
  EXPECT_EQ(figures.segments.rows, rows);
  EXPECT_EQ(figures.segments.cut_episodes, 1);
  EXPECT_EQ(figures.rows_spooled, rows);
  EXPECT_EQ(figures.rows_waiting + figures.rows_dropped, 0);
}

TEST_F(TransitionRecorderTest, ATraceGoesWithItsChunkThroughTheSpool) {
  FakeTraceLog log;
  trace_log_ = &log;
  recorder();
  Push(0, 999);
  ASSERT_OK(recorder().Drain(Soon()));
  const std::vector<TransitionChunk> chunks = SpooledChunks();
  const std::vector<FakeTraceLog::Span> spans = log.spans();
  ASSERT_EQ(spans.size(), chunks.size());
  int64_t rows = 0;
  for (size_t i = 0; i < chunks.size(); ++i) {
    EXPECT_EQ(chunks[i].trace, spans[i].context);
    EXPECT_FALSE(spans[i].parent.has_value());
    EXPECT_EQ(spans[i].content.name, "collect");
    EXPECT_EQ(spans[i].content.attributes[0],
              std::make_pair(std::string("rows"), SpanContent::Value(int64_t{chunks[i].num_rows()})));
    rows += chunks[i].num_rows();
  }
  EXPECT_EQ(rows, RobotRows(1000));
}

TEST_F(TransitionRecorderTest, RowsDoNotWaitForTheirSegmentToFillUp) {
  options_.max_row_age = absl::Milliseconds(10);
  recorder();
  Push(0, 5);
  ASSERT_TRUE(Await([](const auto& figures) { return figures.rows_spooled == 5; }));
  Push(6, 8);
  ASSERT_TRUE(Await([](const auto& figures) { return figures.rows_spooled == 8; }));
  const std::vector<Segment> segments = SpooledSegments();
  ASSERT_GE(segments.size(), 2u);
  EXPECT_EQ(segments.back().episode_id, segments.front().episode_id);
  EXPECT_FALSE(segments.front().truncated);
}

TEST_F(TransitionRecorderTest, AnOverflowOfTheRingCutsTheEpisodeAsTruncated) {
  uint64_t next = 0;
  int dropped = 0;
  while (dropped < 10) {  // nobody takes them yet
    dropped += ticks_.TryPush(RobotTick(next++)) ? 0 : 1;
  }
  recorder();
  Push(next, next + 300);
  ASSERT_OK(recorder().Drain(Soon()));
  EXPECT_EQ(recorder().figures().segments.missing_ticks, 10);
  EXPECT_EQ(recorder().figures().segments.cut_episodes, 2);
  for (const Segment& segment : SpooledSegments()) {
    for (int i = 0; i < segment.num_steps; ++i) {
      // No row reaches over the gap.
      EXPECT_EQ(segment.observations[(i + 1) * kRobotObservationSize],
                segment.observations[i * kRobotObservationSize] + 1);
    }
    if (segment.rewards.back() == 255) {
      EXPECT_TRUE(segment.truncated);
      EXPECT_FALSE(segment.terminated);
    }
  }
}

TEST_F(TransitionRecorderTest, WritesTheLogOfTicks) {
  auto log = TickLog::Create({.folder = folder_ / "ticks",
                              .max_bytes = 1 << 20,
                              .header = {.robot_name = "fake",
                                         .num_joints = 1,
                                         .observation_size = kRobotObservationSize,
                                         .action_size = kRobotActionSize,
                                         .limits = {JointLimits{}}}});
  ASSERT_OK(log);
  log_ = *std::move(log);
  recorder();
  Push(0, 499);
  ASSERT_OK(recorder().Drain(Soon()));
  ASSERT_OK_AND_ASSIGN(const auto reader, TickLogReader::Open(folder_ / "ticks"));
  for (uint64_t i = 0; i < 500; ++i) {
    const auto record = reader->Next();
    ASSERT_TRUE(record.has_value());
    EXPECT_EQ(record->index, i);
  }
  EXPECT_EQ(recorder().figures().log_errors, 0);
}

// A full disk, as a process meets it that may write no more bytes.
class FullDisk {
 public:
  FullDisk() {
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{16, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

TEST_F(TransitionRecorderTest, RowsWaitInMemoryWhileTheDiskIsFull) {
  options_.retry_interval = absl::Milliseconds(5);
  {
    const FullDisk full;
    recorder();
    Push(0, 999);
    ASSERT_TRUE(Await([](const auto& figures) { return figures.rows_waiting > 900; }));
    EXPECT_EQ(recorder().figures().rows_spooled, 0);
    EXPECT_THAT(recorder().figures().spool_status,
                StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("")));
  }
  ASSERT_TRUE(Await([](const auto& figures) { return figures.spool_status.ok(); }));
  ASSERT_OK(recorder().Drain(Soon()));
  EXPECT_EQ(recorder().figures().rows_spooled, RobotRows(1000));
  EXPECT_EQ(recorder().figures().rows_dropped, 0);
}

TEST_F(TransitionRecorderTest, AfterALongTimeOfAFullDiskTheOldestRowsAreDroppedAndCounted) {
  options_.retry_interval = absl::Milliseconds(5);
  options_.max_waiting_bytes = 10'000;
  {
    const FullDisk full;
    recorder();
    Push(0, 1999);
    ASSERT_TRUE(Await([](const auto& figures) { return figures.ticks == 2000; }));
    EXPECT_GT(recorder().figures().rows_dropped, 500);
  }
  ASSERT_OK(recorder().Drain(Soon()));
  const TransitionRecorder::Figures figures = recorder().figures();
  EXPECT_EQ(figures.rows_spooled + figures.rows_dropped, RobotRows(2000));
  EXPECT_EQ(SpooledSegments().back().rewards.back(), 1999);
}

TEST_F(TransitionRecorderTest, DrainGivesUpAtItsDeadlineAndSaysWhatIsLost) {
  const FullDisk full;
  recorder();
  Push(0, 50);
  EXPECT_THAT(recorder().Drain(absl::Now() + absl::Milliseconds(20)),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("50 rows")));
}

}  // namespace
}  // namespace demorl
