#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/metrics/metrics.h"
#include "common/rpc/server_runner.h"
#include "common/rpc/service_component.h"
#include "common/rpc/service_context.h"
#include "common/tensor/environment_spec.h"
#include "common/tensor/transition_chunk.h"
#include "gtest/gtest.h"
#include "services/replay/replay_client.h"
#include "services/replay/replay_component.h"
#include "services/snapshot/snapshot_client.h"
#include "services/snapshot/snapshot_component.h"
#include "tests/testing/status_matchers.h"

namespace demorl::testing {

constexpr absl::Duration kPatience = absl::Seconds(60);

// One hosted component.
struct Host {
  // Without an address it is reached over channels inside the process alone.
  static Host Start(absl::StatusOr<std::unique_ptr<ServiceComponent>> made, const std::string& address = "") {
    EXPECT_OK(made);
    Host host;
    host.component = *std::move(made);
    auto runner = ServerRunner::Start({.address = address, .run_id = "run"}, host.component.get());
    EXPECT_OK(runner);
    host.runner = *std::move(runner);
    return host;
  }
  std::unique_ptr<ServiceComponent> component;
  std::unique_ptr<ServerRunner> runner;
};

// A component against the real replay and snapshot services, over channels inside the process. A test adds
// its tables and settings to the context's config, then starts the services.
class ComponentTest : public ::testing::Test {
 protected:
  ComponentTest() {
    context_.config.set_run_id("run");
    context_.config.set_device("cpu");
    context_.metrics = metrics_.get();
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::path(::testing::TempDir()) / test->test_suite_name() / test->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~ComponentTest() override { std::filesystem::remove_all(folder_); }

  // A table that keeps its rows in memory.
  demorl::config::v1::TableConfig& AddTable(const std::string& name) {
    demorl::config::v1::TableConfig* table = context_.config.mutable_replay()->add_tables();
    table->set_name(name);
    table->set_durability(demorl::config::v1::DURABILITY_NONE);
    return *table;
  }

  // The services keep their snapshots in memory; the component under test has the folder.
  void StartServices(const std::string& address = "") {
    replay_ = Host::Start(MakeReplayComponent(context_), address);
    snapshot_ = Host::Start(MakeSnapshotComponent(context_), address);
    context_.replay = replay_.runner->InProcessChannel();
    context_.snapshot = snapshot_.runner->InProcessChannel();
    context_.data_dir = folder_.string();
  }

  std::unique_ptr<Metrics> metrics_ = MakeLocalMetrics();
  ServiceContext context_;
  Host replay_, snapshot_;
  std::filesystem::path folder_;
};

// With rows of an environment with the sizes of InvertedPendulum in D_ENV, and a wait for what becomes of
// them.
class PendulumComponentTest : public ComponentTest {
 protected:
  static constexpr int kObservations = 4, kActions = 1;

  std::unique_ptr<ReplayWriter> OpenWriter(ReplayClient& client) {
    EnvironmentSpec spec;
    spec.environment_id = context_.config.environment();
    spec.observation_size = kObservations;
    spec.action_size = kActions;
    spec.command_minimum = {-3};
    spec.command_maximum = {3};
    spec.control_period = absl::Milliseconds(40);
    spec.max_episode_steps = 1000;
    return client.OpenWriter(
        {.table = "env", .writer_id = "test", .writer_epoch = 1, .environment = spec, .simulated = false});
  }

  // An episode of random observations.
  void Append(ReplayWriter& writer, int rows, bool terminated) {
    Segment segment;
    segment.episode_id = ++episodes_;
    segment.num_steps = rows;
    segment.observations.resize((rows + 1) * kObservations);
    random_.FillNormal(segment.observations);
    segment.actions.assign(rows, 0.5F);
    segment.rewards.assign(rows, 1.0F);
    segment.policy_versions.assign(rows, 0);
    segment.terminated = terminated;
    segment.truncated = !terminated;
    TransitionChunk chunk{.observation_size = kObservations, .action_size = kActions};
    chunk.segments.push_back(std::move(segment));
    ASSERT_OK(writer.Append(chunk, absl::Now() + kPatience));
  }

  // The first snapshot of that learner step or a later one; null if none comes.
  std::shared_ptr<const Snapshot> AwaitStep(SnapshotWatch& watch, uint64_t learner_step) {
    uint64_t version = 0;
    while (true) {
      auto snapshot = watch.WaitForNewer(version, absl::Now() + kPatience);
      EXPECT_OK(snapshot);
      if (!snapshot.ok() || (*snapshot)->metadata.lineage().learner_step() >= learner_step) {
        return snapshot.ok() ? *snapshot : nullptr;
      }
      version = (*snapshot)->metadata.version();
    }
  }

 private:
  Random random_{4};
  uint64_t episodes_ = 0;
};

}  // namespace demorl::testing
