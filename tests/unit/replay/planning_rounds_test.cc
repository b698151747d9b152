#include "services/replay/core/planning_rounds.h"

#include "gtest/gtest.h"

namespace demorl {
namespace {

constexpr absl::Duration kNow = absl::Seconds(100);

// 2 rounds of 12 start states for each version.
RoundClaim From(const std::string& planner, uint64_t version, bool finished = true) {
  return {.planner_id = planner,
          .dynamics_version = version,
          .rounds_per_version = 2,
          .start_states_per_round = 12,
          .finished = finished,
          .lease = absl::Seconds(60)};
}

class PlanningRoundsTest : public ::testing::Test {
 protected:
  void ExpectShare(const RoundClaim& claim, uint64_t round, int64_t start_states, absl::Duration now = kNow) {
    const RoundShare share = rounds_.Claim(claim, now);
    EXPECT_EQ(share.start_states, start_states);
    if (start_states > 0) {
      EXPECT_EQ(share.planning_round, round);
    }
  }
  // Both planners have asked, and nothing is due.
  void MakeTwoIdlePlanners() {
    rounds_.GoOnAfter(4, 10);
    ExpectShare(From("a", 4), 0, 0);
    ExpectShare(From("b", 4), 0, 0);
  }

  PlanningRounds rounds_;
};

TEST_F(PlanningRoundsTest, OnePlannerDoesTheWholeRoundsOfEachVersionOnce) {
  ExpectShare(From("a", 1), 1, 12);
  EXPECT_EQ(rounds_.queued(), 2);
  ExpectShare(From("a", 1), 2, 12);
  EXPECT_EQ(rounds_.queued(), 1);
  ExpectShare(From("a", 1), 0, 0);
  EXPECT_EQ(rounds_.queued(), 0);
  ExpectShare(From("a", 2), 3, 12);
}

TEST_F(PlanningRoundsTest, TwoPlannersHalveEachRound) {
  MakeTwoIdlePlanners();
  ExpectShare(From("a", 5), 11, 6);
  ExpectShare(From("b", 5), 11, 6);
  EXPECT_EQ(rounds_.queued(), 2);
  ExpectShare(From("b", 5), 12, 6);
  ExpectShare(From("a", 5), 12, 6);
  ExpectShare(From("a", 5), 0, 0);
  EXPECT_EQ(rounds_.queued(), 0.5);  // b is still at work
  ExpectShare(From("b", 5), 0, 0);
  EXPECT_EQ(rounds_.queued(), 0);
}

TEST_F(PlanningRoundsTest, APlannerThatComesLateTakesPartFromTheNextRoundOn) {
  ExpectShare(From("a", 1), 1, 12);
  ExpectShare(From("b", 1), 2, 6);
  ExpectShare(From("a", 1), 2, 6);
  EXPECT_EQ(rounds_.planners(), 2);
}

TEST_F(PlanningRoundsTest, APlannerThatHearsOfAVersionLateStartsNothing) {
  MakeTwoIdlePlanners();
  ExpectShare(From("a", 6), 11, 6);
  ExpectShare(From("b", 5), 0, 0);
  ExpectShare(From("b", 6), 11, 6);
  ExpectShare(From("a", 6), 12, 6);
  ExpectShare(From("b", 6), 12, 6);
  ExpectShare(From("b", 6), 0, 0);
}

TEST_F(PlanningRoundsTest, AVersionThatIsPinnedBackCountsAsNew) {
  MakeTwoIdlePlanners();
  ExpectShare(From("a", 3), 11, 6);
  ExpectShare(From("b", 3), 11, 6);
}

TEST_F(PlanningRoundsTest, ANewerVersionSkipsRoundsThatHaveNotBegunAndEndsTheOneThatHas) {
  MakeTwoIdlePlanners();
  ExpectShare(From("a", 5), 11, 6);
  ExpectShare(From("a", 6), 11, 6);
  EXPECT_EQ(rounds_.skipped(), 1);
  ExpectShare(From("a", 6), 12, 6);
  EXPECT_EQ(rounds_.queued(), 2);
}

TEST_F(PlanningRoundsTest, AShareThatWasGivenUpIsGivenOutAgain) {
  ExpectShare(From("a", 1), 1, 12);
  ExpectShare(From("a", 1, /*finished=*/false), 1, 12);
}

TEST_F(PlanningRoundsTest, TheShareOfAPlannerThatDiedGoesToAnotherWhenItsLeaseEnds) {
  MakeTwoIdlePlanners();
  ExpectShare(From("a", 5), 11, 6);
  ExpectShare(From("b", 5), 11, 6);
  ExpectShare(From("b", 5), 12, 6);
  ExpectShare(From("a", 5), 12, 6);
  ExpectShare(From("b", 5), 0, 0, kNow + absl::Seconds(59));
  ExpectShare(From("b", 5), 12, 6, kNow + absl::Seconds(61));
  EXPECT_EQ(rounds_.planners(), 1);
}

TEST_F(PlanningRoundsTest, AnIdlePlannerThatHasGoneGetsNoShare) {
  MakeTwoIdlePlanners();
  ExpectShare(From("a", 5), 11, 12, kNow + absl::Seconds(6));
}

}  // namespace
}  // namespace demorl
