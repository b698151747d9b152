#include "services/replay/core/packed_segment.h"

#include "gtest/gtest.h"
#include "tests/unit/replay/replay_test_data.h"

namespace demorl {
namespace {

using ::demorl::testing::MakePlannedSegment;
using ::demorl::testing::MakeSegment;
using ::demorl::testing::StatusIs;

Segment PlannedSegment() {
  Segment segment = MakePlannedSegment(4, 9, 3);
  segment.provenance->disagreement = {0.1f, 0.2f, 0.3f};
  segment.terminated = true;
  return segment;
}

TEST(PackedSegmentTest, SlicesAreWhatWasPacked) {
  const PackedSegment packed(PlannedSegment(), 2, 1, {});
  const Segment whole = packed.Slice(0, 3);
  EXPECT_EQ(whole.observations, PlannedSegment().observations);
  EXPECT_EQ(whole.policy_versions, PlannedSegment().policy_versions);
  EXPECT_TRUE(whole.terminated);
  const Segment part = packed.Slice(1, 2);
  EXPECT_EQ(part.first_step, 1);
  EXPECT_EQ(part.observations, (std::vector<float>{4, 1, 4, 2}));
  EXPECT_EQ(part.provenance->disagreement, std::vector<float>{0.2f});
  EXPECT_FALSE(part.terminated);
}

TEST(PackedSegmentTest, OnlyTheLastStepTerminates) {
  const PackedSegment packed(PlannedSegment(), 2, 1, {});
  EXPECT_FALSE(packed.terminated(1));
  EXPECT_TRUE(packed.terminated(2));
}

TEST(PackedSegmentTest, RecordsSurviveTheRoundTrip) {
  const SegmentOrigin origin = {.writer_index = 3, .writer_epoch = 8, .environment_rows = 77};
  const PackedSegment packed(PlannedSegment(), 2, 1, origin);
  ASSERT_OK_AND_ASSIGN(const SegmentPtr decoded, PackedSegment::Decode(packed.Encode()));
  EXPECT_EQ(decoded->Slice(0, 3).observations, PlannedSegment().observations);
  EXPECT_EQ(decoded->Slice(0, 3).provenance->disagreement, PlannedSegment().provenance->disagreement);
  EXPECT_EQ(decoded->dynamics_version(), 9u);
  EXPECT_EQ(decoded->planning_round(), 4u);
  EXPECT_TRUE(decoded->terminated(2));
  EXPECT_EQ(decoded->origin().writer_epoch, 8u);
  EXPECT_EQ(decoded->origin().environment_rows, 77);
}

TEST(PackedSegmentTest, AnInterventionStaysMarked) {
  Segment segment = MakeSegment(1, 0, 3);
  EXPECT_FALSE(PackedSegment(segment, 2, 1, {}).Slice(0, 3).intervened);
  segment.intervened = true;
  ASSERT_OK_AND_ASSIGN(const SegmentPtr decoded,
                       PackedSegment::Decode(PackedSegment(segment, 2, 1, {}).Encode()));
  EXPECT_TRUE(decoded->Slice(1, 2).intervened);
}

TEST(PackedSegmentTest, EveryFlippedOrMissingByteIsNoticed) {
  const std::string record = PackedSegment(MakeSegment(1, 0, 2), 2, 1, {}).Encode();
  for (size_t i = 0; i < record.size(); ++i) {
    std::string flipped = record;
    flipped[i] = static_cast<char>(flipped[i] ^ 0x10);
    EXPECT_THAT(PackedSegment::Decode(flipped), StatusIs(absl::StatusCode::kDataLoss, ::testing::_));
    EXPECT_THAT(PackedSegment::Decode(record.substr(0, i)),
                StatusIs(absl::StatusCode::kDataLoss, ::testing::_));
  }
}

}  // namespace
}  // namespace demorl
