// The planner against the real replay and snapshot services, over channels inside the process.

#include "services/mpc_rollout/mpc_rollout_component.h"

#include <memory>
#include <utility>

#include "absl/time/clock.h"
#include "common/env/registry.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/replay/replay_client.h"
#include "services/snapshot/snapshot_client.h"
#include "tests/fakes/policies.h"
#include "tests/testing/component_test.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/mpc_rollout/planner_tensors.h"

namespace demorl {
namespace {

using ::demorl::snapshot::v1::SNAPSHOT_KIND_DYNAMICS;
using ::demorl::snapshot::v1::SNAPSHOT_KIND_POLICY;
using ::demorl::snapshot::v1::SNAPSHOT_KIND_VALUE;
using ::demorl::testing::ComponentTest;
using ::demorl::testing::ConstantDynamics;
using ::demorl::testing::Host;
using ::demorl::testing::kPatience;
using ::demorl::testing::LinearValue;
using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

constexpr char kEnvironment[] = "HalfCheetah-v5";
constexpr int kObservations = 17;
constexpr int kActions = 6;

class MpcRolloutComponentTest : public ComponentTest {
 protected:
  MpcRolloutComponentTest() {
    context_.config.set_environment(kEnvironment);
    context_.config.mutable_planner()->set_num_start_states(10);
    context_.config.mutable_planner()->set_population_size(10);
    AddTable("env");
    AddTable("mpc").set_retained_rounds(2);
    StartServices();
  }

  void AppendRealRows(ReplayClient& client) {
    writer_ = client.OpenWriter({.table = "env",
                                 .writer_id = "test",
                                 .writer_epoch = 1,
                                 .environment = *GetEnvironmentSpec(kEnvironment),
                                 .simulated = false});
    Segment segment{.episode_id = 1, .num_steps = 50, .truncated = true};
    segment.observations.assign(51 * kObservations, 0.5F);
    segment.actions.assign(50 * kActions, 0.5F);
    segment.rewards.assign(50, 1.0F);
    segment.policy_versions.assign(50, 0);
    TransitionChunk chunk{.observation_size = kObservations, .action_size = kActions};
    chunk.segments.push_back(std::move(segment));
    ASSERT_OK(writer_->Append(chunk, absl::Now() + kPatience));
  }

  void Publish(SnapshotClient& client, demorl::snapshot::v1::SnapshotKind kind, const TensorFile& tensors) {
    demorl::snapshot::v1::SnapshotMetadata metadata;
    metadata.set_kind(kind);
    metadata.set_observation_size(kObservations);
    metadata.set_action_size(kActions);
    metadata.set_schema_hash(GetEnvironmentSpec(kEnvironment)->SchemaHash());
    ASSERT_OK(client.Publish(metadata, EncodeSafetensors(tensors), absl::Now() + kPatience));
  }

  std::unique_ptr<ReplayWriter> writer_;
};

TEST_F(MpcRolloutComponentTest, FillsTheTableForEachDynamicsVersionAndGoesOnAfterARestart) {
  ReplayClient replay(context_.replay, "run");
  SnapshotClient snapshots(context_.snapshot, "run");
  AppendRealRows(replay);
  Publish(snapshots, SNAPSHOT_KIND_POLICY, ConstantPolicy(kObservations, kActions, 0.2F));
  Publish(snapshots, SNAPSHOT_KIND_VALUE, LinearValue(kObservations, kActions, {1, 2}, 0));
  Publish(snapshots, SNAPSHOT_KIND_DYNAMICS, ConstantDynamics(kObservations, kActions, 2, 1, 0.1F));
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
  Publish(snapshots, SNAPSHOT_KIND_DYNAMICS, ConstantDynamics(kObservations, kActions, 2, 1, 0.2F));
  uint64_t round = 1;
  while (round == 1) {
    ASSERT_OK_AND_ASSIGN(const TailedRows rows, tail->Next(absl::Now() + kPatience));
    round = rows.chunk.segments.back().provenance->planning_round;
  }
  EXPECT_EQ(round, 2);
  EXPECT_OK(planner.runner->Shutdown());
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

}  // namespace
}  // namespace demorl
