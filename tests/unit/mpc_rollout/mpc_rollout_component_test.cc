// The planner against the real replay and snapshot services, over channels inside the process.

#include "services/mpc_rollout/mpc_rollout_component.h"

#include <memory>
#include <vector>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/mpc_rollout/mpc_rollout_client.h"
#include "services/replay/replay_client.h"
#include "services/snapshot/snapshot_client.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/mpc_rollout/planning_fixture.h"
#include "tests/unit/platform/health_probe.h"

namespace demorl {
namespace {

using ::demorl::testing::HealthOf;
using ::demorl::testing::Host;
using ::demorl::testing::kPatience;
using ::demorl::testing::kServing;
using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

class MpcRolloutComponentTest : public demorl::testing::PlanningComponentTest {
 protected:
  MpcRolloutComponentTest() {
    context_.config.mutable_planner()->set_num_start_states(10);
    context_.config.mutable_planner()->set_population_size(10);
    StartServices();
  }
};

TEST_F(MpcRolloutComponentTest, FillsTheTableForEachDynamicsVersionAndGoesOnAfterARestart) {
  ReplayClient replay(context_.replay, "run");
  SnapshotClient snapshots(context_.snapshot, "run");
  AppendRealRows(replay);
  PublishNetworks(snapshots);
  const auto tail = replay.OpenTail("mpc", 0);
  {
    const Host planner = Host::Start(MakeMpcRolloutComponent(context_));
    ASSERT_OK_AND_ASSIGN(const TailedRows rows, tail->Next(absl::Now() + kPatience));
    EXPECT_EQ(rows.chunk.segments[0].provenance->dynamics_version, 1);
    EXPECT_EQ(rows.chunk.segments[0].provenance->planning_round, 1);
    EXPECT_EQ(rows.chunk.segments[0].provenance->horizon_steps, 5);
    EXPECT_OK(planner.runner->Shutdown());
  }
  ASSERT_OK_AND_ASSIGN(const auto table, replay.GetTable("mpc"));
  EXPECT_EQ(table.rows_inserted(), 50);  // 10 plans of 5 steps
  context_.start_count = 2;
  const Host planner = Host::Start(MakeMpcRolloutComponent(context_));
  PublishDynamics(snapshots, 0.2F);
  uint64_t round = 1;
  while (round == 1) {
    ASSERT_OK_AND_ASSIGN(const TailedRows rows, tail->Next(absl::Now() + kPatience));
    round = rows.chunk.segments.back().provenance->planning_round;
  }
  EXPECT_EQ(round, 2);
  EXPECT_OK(planner.runner->Shutdown());
}

TEST_F(MpcRolloutComponentTest, OnceItIsReadyItPlansWithWhatTheRunHas) {
  SnapshotClient snapshots(context_.snapshot, "run");
  PublishNetworks(snapshots);
  const Host planner = Host::Start(MakeMpcRolloutComponent(context_));
  const std::shared_ptr<grpc::Channel> channel = planner.runner->InProcessChannel();
  const absl::Time deadline = absl::Now() + kPatience;
  while (HealthOf(channel, "readiness") != kServing && absl::Now() < deadline) {
    EXPECT_EQ(HealthOf(channel, "liveness"), kServing);
    absl::SleepFor(absl::Milliseconds(5));
  }
  EXPECT_EQ(HealthOf(channel, "readiness"), kServing);
  MpcRolloutClient client(channel,
                          {.run_id = "run", .schema_hash = GetEnvironmentSpec(kEnvironment)->SchemaHash()});
  ASSERT_OK_AND_ASSIGN(
      const PlannedAction planned,
      client.OpenPlanner()->Plan({.observation = std::vector<float>(kObservations), .first_step = true}));
  EXPECT_FALSE(planned.fallback);
}

TEST_F(MpcRolloutComponentTest, RefusesSettingsThatCannotWork) {
  ServiceContext alone = context_;
  alone.replay = nullptr;
  EXPECT_THAT(MakeMpcRolloutComponent(alone),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("replay and snapshot")));
  context_.config.mutable_planner()->set_num_particles(3);
  EXPECT_THAT(MakeMpcRolloutComponent(context_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("num_particles")));
}

TEST_F(MpcRolloutComponentTest, AnImpossibleDeviceIsRefusedBeforeAnythingIsPlanned) {
  context_.config.set_device("abacus");
  EXPECT_THAT(MakeMpcRolloutComponent(context_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("abacus")));
}

}  // namespace
}  // namespace demorl
