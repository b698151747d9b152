#include "services/replay/core/quarantine.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "tests/unit/replay/replay_test_data.h"

namespace demorl {
namespace {

using ::demorl::testing::MakeChunk;
using ::demorl::testing::MakeSegment;

constexpr RowLimits kLimits = {.observation_size = 2, .action_size = 1};
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(QuarantineTest, LeavesAGoodSegmentAlone) {
  Segment segment = MakeSegment(1, 0, 5);
  segment.terminated = true;
  QuarantineCounts refused;
  const auto good = TakeGoodSegments(MakeChunk({segment}), kLimits, &refused);
  ASSERT_EQ(good.size(), 1u);
  EXPECT_EQ(good[0].observations, segment.observations);
  EXPECT_TRUE(good[0].terminated);
  EXPECT_TRUE(refused.empty());
}

TEST(QuarantineTest, CutsOutABadActionAndKeepsItsNeighbours) {
  Segment segment = MakeSegment(1, 10, 5);
  segment.actions[2] = 1.6f;
  segment.truncated = true;
  QuarantineCounts refused;
  const auto good = TakeGoodSegments(MakeChunk({segment}), kLimits, &refused);
  ASSERT_EQ(good.size(), 2u);
  EXPECT_EQ(good[0].first_step, 10);
  EXPECT_EQ(good[0].num_steps, 2);
  EXPECT_EQ(good[0].observations, (std::vector<float>{1, 10, 1, 11, 1, 12}));
  EXPECT_FALSE(good[0].truncated);
  EXPECT_EQ(good[1].first_step, 13);
  EXPECT_EQ(good[1].rewards, (std::vector<float>{13, 14}));
  EXPECT_EQ(good[1].observations, (std::vector<float>{1, 13, 1, 14, 1, 15}));
  EXPECT_EQ(good[1].policy_versions, (std::vector<uint64_t>{6, 7}));
  EXPECT_TRUE(good[1].truncated);
  EXPECT_EQ(refused, (QuarantineCounts{{"action_range", 1}}));
}

TEST(QuarantineTest, ABadObservationSpoilsTheRowsOnBothSidesOfItOnly) {
  Segment segment = MakeSegment(1, 0, 5);
  segment.observations[2 * 2 + 1] = kNan;  // of step 2, next observation of step 1
  QuarantineCounts refused;
  const auto good = TakeGoodSegments(MakeChunk({segment}), kLimits, &refused);
  ASSERT_EQ(good.size(), 2u);
  EXPECT_EQ(good[0].rewards, (std::vector<float>{0}));
  EXPECT_EQ(good[1].rewards, (std::vector<float>{3, 4}));
  EXPECT_EQ(refused, (QuarantineCounts{{"non_finite", 2}}));
}

TEST(QuarantineTest, NamesTheReasonOfEachRow) {
  Segment segment = MakeSegment(1, 0, 3);
  segment.rewards[0] = std::numeric_limits<float>::infinity();
  segment.rewards[2] = -2e6f;
  segment.terminated = true;
  QuarantineCounts refused;
  const auto good = TakeGoodSegments(MakeChunk({segment}), kLimits, &refused);
  ASSERT_EQ(good.size(), 1u);
  EXPECT_EQ(good[0].rewards, (std::vector<float>{1}));
  EXPECT_FALSE(good[0].terminated);  // the row that terminated is gone
  EXPECT_EQ(refused, (QuarantineCounts{{"non_finite", 1}, {"magnitude", 1}}));
}

TEST(QuarantineTest, RefusesSegmentsOfTheWrongShapeAndKeepsTheOthers) {
  Segment short_rewards = MakeSegment(1, 0, 3);
  short_rewards.rewards.pop_back();
  Segment empty;
  QuarantineCounts refused;
  const auto good =
      TakeGoodSegments(MakeChunk({short_rewards, empty, MakeSegment(2, 0, 2)}), kLimits, &refused);
  ASSERT_EQ(good.size(), 1u);
  EXPECT_EQ(good[0].episode_id, 2u);
  EXPECT_EQ(refused, (QuarantineCounts{{"shape", 4}}));

  TransitionChunk other_sizes = MakeChunk({MakeSegment(1, 0, 3)});
  other_sizes.observation_size = 3;
  EXPECT_TRUE(TakeGoodSegments(other_sizes, kLimits, &refused).empty());
}

TEST(QuarantineTest, CutsTheDisagreementOfPlannedRowsToo) {
  Segment segment = testing::MakePlannedSegment(1, 1, 4);
  segment.provenance->disagreement = {0.1f, 0.2f, kNan, 0.4f};
  QuarantineCounts refused;
  const auto good = TakeGoodSegments(MakeChunk({segment}), kLimits, &refused);
  ASSERT_EQ(good.size(), 2u);
  EXPECT_EQ(good[0].provenance->disagreement, (std::vector<float>{0.1f, 0.2f}));
  EXPECT_EQ(good[1].provenance->disagreement, (std::vector<float>{0.4f}));
}

}  // namespace
}  // namespace demorl
