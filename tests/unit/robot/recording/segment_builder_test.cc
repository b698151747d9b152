#include "common/robot/recording/segment_builder.h"

#include <limits>

#include "gtest/gtest.h"

namespace demorl {
namespace {

constexpr int kObservationSize = 2;
constexpr int kActionSize = 1;
constexpr uint64_t kFirstEpisode = uint64_t{3} << 40;

class SegmentBuilderTest : public ::testing::Test {
 protected:
  // Tick i observes (i, -i), acts 0.001 i, and is rewarded 10 i.
  TickRecord Tick(TickStep step) {
    ++index_;
    TickRecord record;
    record.index = index_;
    record.state = RobotState::kArmed;
    record.step = step;
    record.source = ActionSource::kPolicy;
    record.policy_version = 7;
    record.reward = 10.0 * index_;
    record.observation[0] = static_cast<float>(index_);
    record.observation[1] = -static_cast<float>(index_);
    record.action[0] = 0.001f * index_;
    return record;
  }
  void Add(TickStep step, int num_ticks = 1) {
    for (int i = 0; i < num_ticks; ++i) {
      builder_.Add(Tick(step));
    }
  }
  std::vector<Segment> Take() { return builder_.TakeSegments(); }

  uint64_t index_ = 0;
  SegmentBuilder builder_{{.observation_size = kObservationSize,
                           .action_size = kActionSize,
                           .max_segment_steps = 4,
                           .first_episode_id = kFirstEpisode}};
};

TEST_F(SegmentBuilderTest, ARowIsWhatWasSeenDoneAndWhatCameOfIt) {
  Add(TickStep::kFirst);
  Add(TickStep::kMid);
  TickRecord last = Tick(TickStep::kLast);
  last.terminated = true;
  last.source = ActionSource::kReset;
  builder_.Add(last);
  const std::vector<Segment> segments = Take();
  ASSERT_EQ(segments.size(), 1u);
  const Segment& segment = segments[0];
  EXPECT_EQ(segment.episode_id, kFirstEpisode);
  EXPECT_EQ(segment.first_step, 0);
  EXPECT_EQ(segment.num_steps, 2);
  EXPECT_EQ(segment.observations, (std::vector<float>{1, -1, 2, -2, 3, -3}));
  EXPECT_EQ(segment.actions, (std::vector<float>{0.001f * 1, 0.001f * 2}));
  EXPECT_EQ(segment.rewards, (std::vector<float>{20, 30}));
  EXPECT_EQ(segment.policy_versions, (std::vector<uint64_t>{7, 7}));
  EXPECT_TRUE(segment.terminated);
  EXPECT_FALSE(segment.truncated);
  EXPECT_EQ(builder_.counts().rows, 2);
  EXPECT_EQ(builder_.counts().episodes, 1);
  EXPECT_EQ(builder_.counts().cut_episodes, 0);
}

TEST_F(SegmentBuilderTest, AnEpisodeThatTheClockEndsIsTruncated) {
  Add(TickStep::kFirst);
  Add(TickStep::kLast);
  const std::vector<Segment> segments = Take();
  ASSERT_EQ(segments.size(), 1u);
  EXPECT_FALSE(segments[0].terminated);
  EXPECT_TRUE(segments[0].truncated);
}

TEST_F(SegmentBuilderTest, LongEpisodesAreCutIntoSegmentsThatShareTheirBorderObservation) {
  Add(TickStep::kFirst);
  Add(TickStep::kMid, 9);
  Add(TickStep::kLast);
  const std::vector<Segment> segments = Take();
  ASSERT_EQ(segments.size(), 3u);
  EXPECT_EQ(segments[0].num_steps, 4);
  EXPECT_EQ(segments[1].first_step, 4);
  EXPECT_EQ(segments[1].episode_id, kFirstEpisode);
  EXPECT_EQ(segments[1].observations[0], segments[0].observations[8]);
  EXPECT_FALSE(segments[0].truncated || segments[1].truncated);
  EXPECT_EQ(segments[2].num_steps, 2);
  EXPECT_TRUE(segments[2].truncated);
}

TEST_F(SegmentBuilderTest, AMissingTickTruncatesTheEpisodeAndBeginsAnother) {
  Add(TickStep::kFirst);
  Add(TickStep::kMid, 4);
  index_ += 3;
  Add(TickStep::kMid, 2);
  Add(TickStep::kLast);
  const std::vector<Segment> segments = Take();
  ASSERT_EQ(segments.size(), 2u);
  EXPECT_EQ(segments[0].num_steps, 4);
  EXPECT_TRUE(segments[0].truncated);
  EXPECT_FALSE(segments[0].terminated);
  EXPECT_EQ(segments[1].episode_id, kFirstEpisode + 1);
  EXPECT_EQ(segments[1].first_step, 0);
  EXPECT_EQ(segments[1].observations.front(), 9);
  EXPECT_EQ(segments[1].rewards.front(), 100);
  EXPECT_EQ(builder_.counts().missing_ticks, 3);
  EXPECT_EQ(builder_.counts().cut_episodes, 1);
}

TEST_F(SegmentBuilderTest, AMissingLastTickNeverMakesATerminatedEpisode) {
  Add(TickStep::kFirst);
  Add(TickStep::kMid);
  ++index_;
  TickRecord last = Tick(TickStep::kLast);
  last.terminated = true;
  builder_.Add(last);
  Add(TickStep::kFirst);
  Add(TickStep::kMid);
  builder_.Cut();
  const std::vector<Segment> segments = Take();
  ASSERT_EQ(segments.size(), 2u);
  for (const Segment& segment : segments) {
    EXPECT_EQ(segment.num_steps, 1);
    EXPECT_TRUE(segment.truncated);
    EXPECT_FALSE(segment.terminated);
  }
}

TEST_F(SegmentBuilderTest, LeavingTheArmedStateTruncates) {
  Add(TickStep::kFirst);
  Add(TickStep::kMid, 2);
  TickRecord stopped = Tick(TickStep::kNone);
  stopped.state = RobotState::kFault;
  builder_.Add(stopped);
  const std::vector<Segment> segments = Take();
  ASSERT_EQ(segments.size(), 1u);
  EXPECT_EQ(segments[0].num_steps, 2);
  EXPECT_TRUE(segments[0].truncated);
  builder_.Add(stopped);
  EXPECT_EQ(builder_.counts().cut_episodes, 1);
}

TEST_F(SegmentBuilderTest, AFirstTickWithinAnEpisodeTruncatesTheOneBefore) {
  Add(TickStep::kFirst);
  Add(TickStep::kMid);
  Add(TickStep::kFirst);
  Add(TickStep::kMid);
  builder_.Cut();
  const std::vector<Segment> segments = Take();
  ASSERT_EQ(segments.size(), 2u);
  EXPECT_TRUE(segments[0].truncated);
  EXPECT_NE(segments[0].episode_id, segments[1].episode_id);
}

TEST_F(SegmentBuilderTest, NeverWritesANonFiniteNumber) {
  const auto poisons = {
      +[](TickRecord& record) { record.observation[1] = std::numeric_limits<float>::quiet_NaN(); },
      +[](TickRecord& record) { record.action[0] = std::numeric_limits<float>::infinity(); },
      +[](TickRecord& record) { record.reward = 1e300; },  // infinite as a float
  };
  for (const auto& poison : poisons) {
    Add(TickStep::kFirst);
    Add(TickStep::kMid, 2);
    TickRecord record = Tick(TickStep::kMid);
    poison(record);
    builder_.Add(record);
    Add(TickStep::kMid);
    Add(TickStep::kLast);
    const std::vector<Segment> segments = Take();
    ASSERT_EQ(segments.size(), 2u);
    EXPECT_EQ(segments[0].num_steps, 2);
    EXPECT_TRUE(segments[0].truncated);
    EXPECT_EQ(segments[1].num_steps, 1);
    EXPECT_NE(segments[0].episode_id, segments[1].episode_id);
  }
  EXPECT_EQ(builder_.counts().non_finite_ticks, 3);
}

TEST_F(SegmentBuilderTest, AnOperatorsActionsAreMarkedInSegmentsOfTheirOwn) {
  TickRecord first = Tick(TickStep::kFirst);
  first.source = ActionSource::kRandom;
  builder_.Add(first);
  TickRecord mid = Tick(TickStep::kMid);
  mid.source = ActionSource::kOperator;
  builder_.Add(mid);
  Add(TickStep::kMid);
  Add(TickStep::kLast);
  const std::vector<Segment> segments = Take();
  ASSERT_EQ(segments.size(), 3u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(segments[i].first_step, i);
    EXPECT_EQ(segments[i].num_steps, 1);
    EXPECT_EQ(segments[i].intervened, i == 1);
    EXPECT_EQ(segments[i].policy_versions, (std::vector<uint64_t>{i == 2 ? 7u : 0u}));
    EXPECT_EQ(segments[i].truncated, i == 2);
  }
  EXPECT_EQ(segments[1].observations, (std::vector<float>{2, -2, 3, -3}));
  EXPECT_EQ(builder_.counts().operator_rows, 1);
}

TEST_F(SegmentBuilderTest, AnOpenSegmentCanBeClosedWithoutEndingItsEpisode) {
  Add(TickStep::kFirst);
  builder_.CloseSegment();
  EXPECT_TRUE(Take().empty());
  Add(TickStep::kMid, 2);
  EXPECT_EQ(builder_.open_rows(), 2);
  builder_.CloseSegment();
  Add(TickStep::kMid);
  builder_.Cut();
  const std::vector<Segment> segments = Take();
  ASSERT_EQ(segments.size(), 2u);
  EXPECT_FALSE(segments[0].truncated);
  EXPECT_EQ(segments[1].episode_id, segments[0].episode_id);
  EXPECT_EQ(segments[1].first_step, 2);
  EXPECT_TRUE(segments[1].truncated);
}

}  // namespace
}  // namespace demorl
