#include "services/replay/core/table.h"

#include "gtest/gtest.h"
#include "tests/unit/replay/replay_test_data.h"

namespace demorl {
namespace {

using ::demorl::testing::MakePlannedSegment;
using ::demorl::testing::MakeSegment;
using ::demorl::testing::StatusIs;
using ::demorl::testing::TestEnvironment;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

SegmentPtr Pack(const Segment& segment, int64_t environment_rows = 0) {
  return std::make_shared<const PackedSegment>(segment, 2, 1,
                                               SegmentOrigin{.environment_rows = environment_rows});
}

std::vector<uint64_t> HeldKeys(const Table& table) {
  std::vector<uint64_t> keys;
  uint64_t position = 0;
  const auto end = static_cast<uint64_t>(table.rows_inserted());
  while (true) {
    const Table::Slice slice = table.Read(position, end, 1);
    if (slice.num_rows == 0) {
      return keys;
    }
    keys.push_back(slice.position);
    position = slice.position + 1;
  }
}

TEST(TableTest, RingDropsTheOldestRowsEvenInTheMiddleOfASegment) {
  Table table({.name = "env", .max_rows = 4}, 1);
  EXPECT_EQ(table.Insert(Pack(MakeSegment(1, 0, 3))), 0u);
  EXPECT_EQ(table.Insert(Pack(MakeSegment(1, 3, 3))), 3u);
  EXPECT_THAT(HeldKeys(table), ElementsAre(2, 3, 4, 5));
  EXPECT_EQ(table.rows_inserted(), 6);
  EXPECT_EQ(table.first_key(), 2u);
  const Table::Slice slice = table.Read(0, 6, 100);
  ASSERT_EQ(slice.segments.size(), 2u);
  EXPECT_EQ(slice.segments[0].first_step, 2);
  EXPECT_EQ(slice.segments[0].num_steps, 1);
}

TEST(TableTest, ANewerRoundPushesOutTheOldOnes) {
  Table table({.name = "mpc", .retained_rounds = 2}, 1);
  table.Insert(Pack(MakePlannedSegment(1, 1, 2)));  // keys 0, 1
  table.Insert(Pack(MakePlannedSegment(2, 1, 2)));  // keys 2, 3
  EXPECT_EQ(table.size(), 4);
  table.Insert(Pack(MakePlannedSegment(3, 2, 1)));  // key 4; round 1 goes
  EXPECT_THAT(HeldKeys(table), ElementsAre(2, 3, 4));
  // Another planner is still at round 2: kept. A straggler of round 1 is not, though its row is counted.
  table.Insert(Pack(MakePlannedSegment(2, 1, 1)));                           // key 5
  EXPECT_EQ(table.Insert(Pack(MakePlannedSegment(1, 1, 1))), std::nullopt);  // key 6
  EXPECT_THAT(HeldKeys(table), ElementsAre(2, 3, 4, 5));
  EXPECT_EQ(table.rows_inserted(), 7);
  // Rounds 2 go, also from the middle: 3 stays between them.
  table.Insert(Pack(MakePlannedSegment(4, 2, 1)));  // key 7
  EXPECT_THAT(HeldKeys(table), ElementsAre(4, 7));
  EXPECT_THAT(table.TakeRemovedSegments(), ElementsAre(5));
  EXPECT_EQ(table.latest_round(), 4u);
}

TEST(TableTest, PurgesADynamicsVersionAndKeepsTheOtherKeys) {
  Table table({.name = "mpc"}, 1);
  table.Insert(Pack(MakePlannedSegment(1, 1, 2)));
  table.Insert(Pack(MakePlannedSegment(1, 2, 2)));
  table.Insert(Pack(MakePlannedSegment(2, 1, 2)));
  table.Insert(Pack(MakePlannedSegment(3, 3, 1)));
  EXPECT_EQ(table.RemoveDynamicsVersion(2), 2);
  EXPECT_EQ(table.RemoveDynamicsVersion(2), 0);
  EXPECT_THAT(HeldKeys(table), ElementsAre(0, 1, 4, 5, 6));
  EXPECT_EQ(table.RemoveBefore(5), 3);
  EXPECT_EQ(table.RemoveDynamicsVersion(3), 1);
  EXPECT_THAT(HeldKeys(table), ElementsAre(5));
  std::vector<std::string> violations;
  table.Audit(&violations);
  EXPECT_THAT(violations, IsEmpty());
}

TEST(TableTest, ReadsStopAtGapsAndSkipThem) {
  Table table({.name = "mpc"}, 1);
  table.Insert(Pack(MakePlannedSegment(1, 1, 2)));
  table.Insert(Pack(MakePlannedSegment(1, 2, 3)));
  table.Insert(Pack(MakePlannedSegment(1, 1, 2)));
  table.RemoveDynamicsVersion(2);
  Table::Slice slice = table.Read(0, 7, 100);
  EXPECT_EQ(slice.position, 0u);
  EXPECT_EQ(slice.num_rows, 2);
  slice = table.Read(2, 7, 100);
  EXPECT_EQ(slice.position, 5u);
  EXPECT_EQ(slice.num_rows, 2);
  EXPECT_EQ(table.Read(5, 6, 100).num_rows, 1);  // not beyond the end asked for
}

TEST(TableTest, DropsRowsThatGrewOldByTheEnvironmentsClock) {
  Table table({.name = "mpc", .max_age_environment_rows = 10}, 1);
  table.Insert(Pack(MakePlannedSegment(1, 1, 2), 5));
  table.Insert(Pack(MakePlannedSegment(1, 1, 2), 6));
  EXPECT_EQ(table.RemoveOlderThan(14), 0);
  EXPECT_EQ(table.RemoveOlderThan(15), 2);
  EXPECT_THAT(HeldKeys(table), ElementsAre(2, 3));
}

TEST(TableTest, DrawsAfterTheOrdinalsHaveMoved) {
  Table table({.name = "env", .max_rows = 3}, 1);
  for (int i = 0; i < 50; ++i) {
    table.Insert(Pack(MakeSegment(1, i, 1)));
    std::vector<DrawnRow> rows;
    table.Draw(5, &rows);
    for (const DrawnRow& row : rows) {
      EXPECT_EQ(row.segment->first_step(), static_cast<int>(row.key));
      EXPECT_GE(static_cast<int>(row.key), i - 2);
    }
  }
  EXPECT_EQ(table.rows_sampled(), 250);
}

TEST(TableTest, RefusesAnotherSchemaAndNamesBoth) {
  Table table({.name = "env"}, 1);
  EXPECT_OK(table.SetEnvironment(TestEnvironment()));
  EXPECT_OK(table.SetEnvironment(TestEnvironment()));
  EnvironmentSpec other = TestEnvironment();
  other.observation_size = 3;
  EXPECT_THAT(
      table.SetEnvironment(other),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               ::testing::AllOf(HasSubstr(other.SchemaHash()), HasSubstr(TestEnvironment().SchemaHash()))));
}

TEST(TableTest, AuditFindsAStepThatIsThereTwice) {
  Table table({.name = "env"}, 1);
  table.Insert(Pack(MakeSegment(1, 0, 4)));
  table.Insert(Pack(MakeSegment(2, 3, 4)));
  std::vector<std::string> violations;
  table.Audit(&violations);
  EXPECT_THAT(violations, IsEmpty());
  table.Insert(Pack(MakeSegment(1, 3, 1)));
  table.Audit(&violations);
  EXPECT_THAT(violations, ElementsAre(HasSubstr("episode 1 of writer 0 has step 3 twice")));
}

}  // namespace
}  // namespace demorl
