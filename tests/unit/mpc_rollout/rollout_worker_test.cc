#include "services/mpc_rollout/rollout_worker.h"

#include <atomic>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/mpc_rollout/mpc_rollout_fixture.h"

namespace demorl::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using RolloutWorkerTest = MpcRolloutTest;

TEST_F(RolloutWorkerTest, RunsItsRoundsForEachNewDynamicsVersion) {
  RolloutWorker worker(Parts(SmallRun()));
  worker.Start();
  SetDynamics(1);
  EXPECT_TRUE(
      Becomes([&] { return worker.Status().detail == "waiting for a policy and value to plan with"; }));
  EXPECT_EQ(replay_.Rows(), 0);
  SetPolicyAndValue();
  // 2 rounds of 6 plans; 4,000 rows behind the dynamics are 4 epochs: H = 6.
  EXPECT_TRUE(Becomes([&] { return replay_.Rows() == 72; }));
  SetDynamics(2);
  EXPECT_TRUE(Becomes([&] { return replay_.Rows() == 144; }));
  EXPECT_OK(worker.Stop(absl::Now() + absl::Seconds(5)));

  std::vector<uint64_t> rounds;
  std::vector<uint64_t> versions;
  for (const TransitionChunk& chunk : replay_.table.chunks) {
    rounds.push_back(chunk.segments[0].provenance->planning_round);
    versions.push_back(chunk.segments[0].provenance->dynamics_version);
  }
  EXPECT_THAT(rounds, ElementsAre(18, 19, 20, 21));
  EXPECT_THAT(versions, ElementsAre(1, 1, 2, 2));
  EXPECT_EQ(replay_.writer_options.table, "mpc");
  EXPECT_EQ(replay_.writer_options.writer_id, "planner");
  EXPECT_EQ(replay_.writer_options.writer_epoch, 3);
  EXPECT_FALSE(replay_.writer_options.simulated);
  EXPECT_FALSE(replay_.sampler_options.counts_as_update);
  EXPECT_EQ(metrics_.rounds.Value(), 4);
  EXPECT_EQ(metrics_.rows.Value(), 144);
}

TEST_F(RolloutWorkerTest, IsReadyWithoutAModelWhereTheRunHasNone) {
  RolloutWorker worker(Parts(SmallRun()));
  worker.Start();
  EXPECT_TRUE(Becomes([&] { return worker.Status().detail == "waiting for a first dynamics snapshot"; }));
  EXPECT_EQ(worker.Status().state, ComponentState::kRunning);
}

TEST_F(RolloutWorkerTest, IsNotReadyUntilItHasWhatTheRunHasAndCanPlanWithIt) {
  std::atomic<bool> answers = false;
  RolloutWorker::Parts parts = Parts(SmallRun());
  parts.is_published = [&answers](auto) {
    return answers ? absl::StatusOr<bool>(true) : absl::UnavailableError("nobody answers");
  };
  RolloutWorker worker(std::move(parts));
  const auto waits_for = [&worker](const char* what) {
    return worker.Status().state == ComponentState::kStarting &&
           worker.Status().detail == absl::StrCat("waiting: ", what);
  };
  worker.Start();
  EXPECT_TRUE(Becomes([&] { return waits_for("nobody answers"); }));
  answers = true;
  EXPECT_TRUE(Becomes([&] { return waits_for("no newer version"); }));
  SetPolicyAndValue();
  SetUnusableDynamics(1);
  EXPECT_TRUE(Becomes([&] {
    return waits_for("the newest dynamics, policy or value cannot be planned with, as the log says");
  }));
  SetDynamics(2);
  EXPECT_TRUE(Becomes([&] { return worker.Status().state == ComponentState::kRunning; }));
  SetUnusableDynamics(3);
  EXPECT_TRUE(Becomes([&] { return metrics_.refused_snapshots.Value() >= 2; }));
  EXPECT_EQ(worker.Status().state, ComponentState::kRunning);
}

TEST_F(RolloutWorkerTest, TwoPlannersShareTheStartStatesOfARound) {
  RolloutWorker::Parts other = Parts(SmallRun());
  other.planner_id = "other";
  replay_.Claim({.planner_id = "planner"});  // both are known before the rounds begin
  replay_.Claim({.planner_id = "other"});
  RolloutWorker first(Parts(SmallRun())), second(std::move(other));
  SetPolicyAndValue();
  SetDynamics(1);
  first.Start();
  second.Start();
  EXPECT_TRUE(Becomes([&] { return replay_.Rows() == 72; }));
  EXPECT_OK(first.Stop(absl::Now() + absl::Seconds(5)));
  EXPECT_OK(second.Stop(absl::Now() + absl::Seconds(5)));
  for (const TransitionChunk& chunk : replay_.table.chunks) {
    EXPECT_EQ(chunk.num_rows(), 18);  // 3 plans of 6 steps
  }
}

TEST_F(RolloutWorkerTest, PausesAndResumes) {
  RolloutWorker worker(Parts(SmallRun()));
  worker.SetPaused(true);
  SetPolicyAndValue();
  SetDynamics(1);
  worker.Start();
  EXPECT_EQ(worker.Status().state, ComponentState::kPaused);
  worker.SetPaused(false);
  EXPECT_TRUE(Becomes([&] { return replay_.Rows() == 72; }));
  EXPECT_TRUE(Becomes([&] { return worker.Status().figures.at("rounds") == 2; }));
}

TEST_F(RolloutWorkerTest, IsUnhealthyAfterBadRoundsInARowAndHealthyAfterAGoodOne) {
  replay_.start_value = 1e38F;
  RolloutWorker worker(Parts(SmallRun()));
  worker.Start();
  SetPolicyAndValue();
  SetDynamics(1, 3e38F);  // every prediction overflows
  EXPECT_TRUE(Becomes([&] { return worker.Status().state == ComponentState::kUnhealthy; }));
  EXPECT_THAT(worker.Status().detail, HasSubstr("2 planning rounds failed in a row"));
  EXPECT_EQ(metrics_.failed_rounds.Value(), 2);
  EXPECT_EQ(replay_.Rows(), 0);
  SetDynamics(2);
  EXPECT_TRUE(Becomes([&] { return worker.Status().state == ComponentState::kRunning; }));
}

TEST_F(RolloutWorkerTest, ARefusedSnapshotIsCountedAndTheLastGoodOneStays) {
  RolloutWorker worker(Parts(SmallRun()));
  worker.Start();
  SetPolicyAndValue();
  SetDynamics(1);
  EXPECT_TRUE(Becomes([&] { return replay_.Rows() == 72; }));
  SetUnusableDynamics(2);
  EXPECT_TRUE(Becomes([&] { return metrics_.refused_snapshots.Value() == 1; }));
  SetDynamics(3);
  EXPECT_TRUE(Becomes([&] { return worker.Status().figures.at("dynamics_version") == 3; }));
}

TEST_F(RolloutWorkerTest, AFencedWriterMakesItUnhealthy) {
  replay_.table.append_status = absl::AbortedError("a newer epoch of mpc_rollout exists");
  RolloutWorker worker(Parts(SmallRun()));
  worker.Start();
  SetPolicyAndValue();
  SetDynamics(1);
  EXPECT_TRUE(Becomes([&] { return worker.Status().state == ComponentState::kUnhealthy; }));
  EXPECT_THAT(worker.Status().detail, HasSubstr("newer epoch"));
}

TEST_F(RolloutWorkerTest, StopsWhileItWaits) {
  RolloutWorker worker(Parts(SmallRun()));
  worker.Start();
  feed_->Close();
  EXPECT_OK(worker.Stop(absl::Now() + absl::Seconds(5)));
  EXPECT_EQ(worker.Status().state, ComponentState::kDraining);
}

}  // namespace
}  // namespace demorl::testing
