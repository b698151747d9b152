// A collection loop that acts by an online planner.

#include <algorithm>
#include <atomic>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/actor/collection_loop_fixture.h"

namespace demorl {
namespace {

using ::testing::HasSubstr;

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
  ASSERT_TRUE(Finishes(*loop));
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
  ASSERT_TRUE(BecomesUnhealthy(*loop));
  EXPECT_THAT(loop->Status().detail, HasSubstr("other"));
}

}  // namespace
}  // namespace demorl
