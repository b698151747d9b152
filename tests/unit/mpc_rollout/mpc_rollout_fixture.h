#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "common/concurrency/stop_token.h"
#include "gtest/gtest.h"
#include "services/mpc_rollout/rollout_worker.h"
#include "services/replay/core/planning_rounds.h"
#include "tests/fakes/fake_replay_table.h"
#include "tests/fakes/fake_snapshots.h"
#include "tests/fakes/policies.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/mpc_rollout/planner_tensors.h"

namespace demorl::testing {

inline constexpr int kObservations = 3;
inline constexpr int kActions = 2;

// What a worker drew from replay, appended to table `mpc` and claimed; outlives its writers and samplers.
struct FakeReplay {
  FakeReplayTable table;
  absl::Mutex mutex;
  int draws = 0;
  ReplayWriterOptions writer_options;
  BatchSamplerOptions sampler_options;
  float start_value = 0;
  PlanningRounds rounds;

  FakeReplay() { rounds.GoOnAfter(/*dynamics_version=*/0, /*planning_round=*/17); }

  RoundShare Claim(const RoundClaim& claim) {
    absl::MutexLock lock(&mutex);
    return rounds.Claim(claim, RealClock::Get().Now());
  }
  int64_t Rows() {
    absl::MutexLock lock(&table.mutex);
    return table.rows;
  }
};

class FakeSampler final : public BatchSampler {
 public:
  FakeSampler(FakeReplay& replay, int rows) : replay_(replay), rows_(rows) {}
  absl::StatusOr<SampledBatch> Next(absl::Time) override {
    absl::MutexLock lock(&replay_.mutex);
    ++replay_.draws;
    SampledBatch sampled;
    sampled.batch.Resize(rows_, kObservations, kActions);
    std::fill(sampled.batch.observations.begin(), sampled.batch.observations.end(), replay_.start_value);
    sampled.rows_inserted = 1000;
    return sampled;
  }
  void SetShares(const std::vector<TableShare>&) override {}
  void Close() override {}

 private:
  FakeReplay& replay_;
  const int rows_;
};

inline demorl::config::v1::RunConfig SmallRun() {
  demorl::config::v1::RunConfig config;
  config.set_environment("Fake-v0");
  config.set_run_id("run");
  config.set_device("cpu");
  auto* planner = config.mutable_planner();
  planner->set_population_size(10);
  planner->set_num_start_states(6);
  planner->set_rounds_per_model(2);
  planner->set_max_non_finite(2);
  return config;
}

inline PlanningEnvironment FakeEnvironment() {
  PlanningEnvironment environment;
  environment.spec.environment_id = "Fake-v0";
  environment.spec.observation_size = kObservations;
  environment.spec.action_size = kActions;
  environment.termination_rule = [](std::span<const float>) { return false; };
  return environment;
}

// A worker, or a service, whose snapshots and replay are in memory.
class MpcRolloutTest : public ::testing::Test {
 protected:
  MpcRolloutTest() : metrics_registry_(MakeLocalMetrics()), metrics_(*metrics_registry_) {
    feed_ = std::make_unique<SnapshotFeed>(
        SnapshotFeed::Watches{
            .dynamics = dynamics_.Watch(), .policy = policy_.Watch(), .value = value_.Watch()},
        metrics_);
  }

  void SetPolicyAndValue() {
    policy_.Publish(5, ConstantPolicy(kObservations, kActions, 0.2F));
    value_.Publish(5, LinearValue(kObservations, kActions, {10, 11}, 0));
  }

  // A model learned from 4,000 rows.
  void SetDynamics(uint64_t version, float change = 0.1F, int num_observations = kObservations) {
    demorl::snapshot::v1::SnapshotMetadata metadata;
    metadata.set_version(version);
    metadata.mutable_lineage()->set_environment_rows(4000);
    dynamics_.Publish(std::move(metadata), ConstantDynamics(num_observations, kActions, 1, 1, change));
  }
  // Of another robot.
  void SetUnusableDynamics(uint64_t version) { SetDynamics(version, 0.1F, kObservations + 1); }

  RolloutWorker::Parts Parts(const demorl::config::v1::RunConfig& config) {
    return {.config = config,
            .planner_id = "planner",
            .start_count = 3,
            .find_environment = [] { return FakeEnvironment(); },
            .is_published = [](auto) { return false; },
            .latest_planning_round = [] { return uint64_t{17}; },
            .claim_round = [this](const RoundClaim& claim) { return replay_.Claim(claim); },
            .open_sampler =
                [this](const BatchSamplerOptions& options) {
                  replay_.sampler_options = options;
                  return std::make_unique<FakeSampler>(replay_, options.shares[0].rows);
                },
            .open_writer =
                [this](const ReplayWriterOptions& options) {
                  replay_.writer_options = options;
                  return std::make_unique<FakeReplayWriter>(&replay_.table);
                },
            .feed = feed_.get(),
            .metrics = &metrics_};
  }

  // Waits for what the worker's thread does; false after 20 s.
  template <typename Predicate>
  bool Becomes(const Predicate& predicate) {
    StopSource never;
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    while (!predicate()) {
      if (absl::Now() > deadline) {
        return false;
      }
      never.token().WaitFor(absl::Milliseconds(2));
    }
    return true;
  }

  std::unique_ptr<Metrics> metrics_registry_;
  MpcRolloutMetrics metrics_;
  FakeSnapshots dynamics_, policy_, value_;
  std::unique_ptr<SnapshotFeed> feed_;
  FakeReplay replay_;
};

}  // namespace demorl::testing
