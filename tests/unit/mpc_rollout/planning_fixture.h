#pragma once

#include <memory>
#include <utility>

#include "absl/time/clock.h"
#include "common/env/registry.h"
#include "services/replay/replay_client.h"
#include "services/snapshot/snapshot_client.h"
#include "tests/fakes/policies.h"
#include "tests/testing/component_test.h"
#include "tests/unit/mpc_rollout/planner_tensors.h"

namespace demorl::testing {

// What planners work on, with the sizes of HalfCheetah: rows in D_ENV to start from, and networks.
class PlanningComponentTest : public ComponentTest {
 protected:
  static constexpr char kEnvironment[] = "HalfCheetah-v5";
  static constexpr int kObservations = 17, kActions = 6;

  PlanningComponentTest() {
    context_.config.set_environment(kEnvironment);
    AddTable("env");
    AddTable("mpc").set_retained_rounds(2);
  }

  static void AppendRealRows(ReplayClient& client) {
    const auto writer = client.OpenWriter({.table = "env",
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
    ASSERT_OK(writer->Append(chunk, absl::Now() + kPatience));
    ASSERT_OK(writer->Flush(absl::Now() + kPatience));
  }

  static void Publish(SnapshotClient& client, demorl::snapshot::v1::SnapshotKind kind,
                      const TensorFile& tensors) {
    auto metadata = MakeSnapshotMetadata(*GetEnvironmentSpec(kEnvironment), "hash");
    metadata.set_kind(kind);
    ASSERT_OK(client.Publish(metadata, EncodeSafetensors(tensors), absl::Now() + kPatience));
  }

  // Dynamics that change every observation by `change` a step.
  static void PublishDynamics(SnapshotClient& client, float change) {
    Publish(client, demorl::snapshot::v1::SNAPSHOT_KIND_DYNAMICS,
            ConstantDynamics(kObservations, kActions, 2, 1, change));
  }

  static void PublishNetworks(SnapshotClient& client) {
    Publish(client, demorl::snapshot::v1::SNAPSHOT_KIND_POLICY,
            ConstantPolicy(kObservations, kActions, 0.2F));
    Publish(client, demorl::snapshot::v1::SNAPSHOT_KIND_VALUE,
            LinearValue(kObservations, kActions, {1, 2}, 0));
    PublishDynamics(client, 0.1F);
  }
};

}  // namespace demorl::testing
