#include "services/robot_gateway/gateway_recording.h"

#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/robot/recording/tick_log_reader.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_replay_table.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/robot_gateway/robot_ticks.h"

namespace demorl {
namespace {

using ::demorl::testing::FakeReplayTable;
using ::demorl::testing::FakeReplayWriter;
using ::demorl::testing::RobotEnvironment;
using ::demorl::testing::RobotRows;
using ::demorl::testing::RobotTick;
using ::demorl::testing::StatusIs;

constexpr uint64_t kNumTicks = 150;

absl::Time Soon() { return absl::Now() + absl::Seconds(30); }

class GatewayRecordingTest : public ::testing::Test {
 protected:
  GatewayRecordingTest()
      : folder_(std::filesystem::path(::testing::TempDir()) /
                absl::StrCat("recording_", getpid(), "_",
                             ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    options_.data_dir = folder_;
    options_.run_id = "run";
    options_.start_count = 3;
    options_.environment = RobotEnvironment();
    options_.setup.set_name("robot");
    options_.setup.add_joints()->set_name("knee");
    options_.setup.mutable_recording()->set_tick_log_s(2);
  }
  ~GatewayRecordingTest() override { std::filesystem::remove_all(folder_); }

  absl::StatusOr<std::unique_ptr<GatewayRecording>> Open() {
    return GatewayRecording::Open(
        options_, {.ticks = &ticks_,
                   .observe = [this](const TickRecord&) { ++num_observed_; },
                   .make_writer = [this] { return std::make_unique<FakeReplayWriter>(&table_); }});
  }
  void PushTicks() {
    for (uint64_t i = 0; i < kNumTicks; ++i) {
      ASSERT_TRUE(ticks_.TryPush(RobotTick(i)));
    }
  }

  const std::filesystem::path folder_;
  SpscRing<TickRecord> ticks_{256};
  FakeReplayTable table_;
  GatewayRecording::Options options_;
  uint64_t num_observed_ = 0;
};

TEST_F(GatewayRecordingTest, EachTickGoesToTheLogAndEachTransitionToReplay) {
  ASSERT_OK_AND_ASSIGN(const auto recording, Open());
  PushTicks();
  recording->Start();
  ASSERT_OK(recording->Drain(Soon()));
  EXPECT_EQ(num_observed_, kNumTicks);
  EXPECT_EQ(table_.rows, RobotRows(kNumTicks));
  const GatewayRecording::Figures figures = recording->figures();
  EXPECT_EQ(figures.recorder.ticks, kNumTicks);
  EXPECT_EQ(figures.uploader.rows_durable, RobotRows(kNumTicks));
  EXPECT_EQ(table_.chunks[0].segments[0].episode_id >> 40, 3u);
  ASSERT_OK_AND_ASSIGN(const auto log, TickLogReader::Open(folder_ / "ticks"));
  EXPECT_EQ(log->header().robot_name, "robot");
  EXPECT_EQ(log->header().num_joints, 1);
}

TEST_F(GatewayRecordingTest, WhatReplayDoesNotTakeStaysForTheNextStartOfTheSameRun) {
  table_.reachable = false;
  ASSERT_OK_AND_ASSIGN(auto recording, Open());
  PushTicks();
  recording->Start();
  EXPECT_THAT(recording->Drain(absl::Now()), StatusIs(absl::StatusCode::kDeadlineExceeded, ::testing::_));
  EXPECT_GT(recording->figures().spool_bytes, 0);
  recording.reset();
  table_.reachable = true;

  ++options_.start_count;
  options_.run_id = "another";
  ASSERT_OK_AND_ASSIGN(recording, Open());
  recording->Start();
  ASSERT_OK(recording->Drain(Soon()));
  EXPECT_EQ(table_.rows, 0);

  ++options_.start_count;
  options_.run_id = "run";
  ASSERT_OK_AND_ASSIGN(recording, Open());
  recording->Start();
  ASSERT_OK(recording->Drain(Soon()));
  EXPECT_EQ(table_.rows, RobotRows(kNumTicks));
}

TEST_F(GatewayRecordingTest, KeepsPoliciesBesideTheLogThatTheyActedIn) {
  ASSERT_OK_AND_ASSIGN(const auto recording, Open());
  ASSERT_OK(recording->KeepPolicy(5, "weights"));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "ticks" / "00000003" / "5.safetensors"));
}

TEST_F(GatewayRecordingTest, TheLogHoldsTheTicksOfTheTimeThatItIsSetTo) {
  const auto log_bytes = [this] {
    const std::filesystem::path log =
        folder_ / "ticks" / absl::StrFormat("%08d", options_.start_count) / "ticks.log";
    return static_cast<double>(std::filesystem::file_size(log));
  };
  ASSERT_OK(Open());
  const double two_seconds = log_bytes();
  ++options_.start_count;
  options_.setup.mutable_recording()->set_tick_log_s(20);
  ASSERT_OK(Open());
  EXPECT_NEAR(log_bytes() / two_seconds, 10, 0.1);
}

}  // namespace
}  // namespace demorl
