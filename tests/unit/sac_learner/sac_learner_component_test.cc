// The learner against the real replay and snapshot services, over channels inside the process.

#include "services/sac_learner/sac_learner_component.h"

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "common/base/random.h"
#include "common/policy/mlp_policy.h"
#include "common/rpc/server_runner.h"
#include "gtest/gtest.h"
#include "services/replay/replay_client.h"
#include "services/replay/replay_component.h"
#include "services/snapshot/snapshot_client.h"
#include "services/snapshot/snapshot_component.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(60);
constexpr int kObservations = 4, kActions = 1;

// One hosted component.
struct Host {
  static Host Start(absl::StatusOr<std::unique_ptr<ServiceComponent>> made) {
    EXPECT_OK(made);
    Host host;
    host.component = *std::move(made);
    auto runner = ServerRunner::Start({.run_id = "run"}, host.component.get());
    EXPECT_OK(runner);
    host.runner = *std::move(runner);
    return host;
  }
  std::unique_ptr<ServiceComponent> component;
  std::unique_ptr<ServerRunner> runner;
};

class SacLearnerComponentTest : public ::testing::Test {
 protected:
  SacLearnerComponentTest() {
    context_.config.set_run_id("run");
    context_.config.set_environment("InvertedPendulum-v5");
    context_.config.set_model_based(false);
    context_.config.set_device("cpu");
    auto* sac = context_.config.mutable_sac();
    sac->add_hidden_sizes(16);
    sac->set_batch_size(16);
    sac->set_publish_interval_updates(10);
    auto* table = context_.config.mutable_replay()->add_tables();
    table->set_name("env");
    table->set_durability(demorl::config::v1::DURABILITY_NONE);
    table->mutable_rate_limiter()->set_min_rows(20);
    table->mutable_rate_limiter()->set_updates_per_row(1);
    context_.metrics = metrics_.get();
    replay_ = Host::Start(MakeReplayComponent(context_));
    snapshot_ = Host::Start(MakeSnapshotComponent(context_));
    context_.replay = replay_.runner->InProcessChannel();
    context_.snapshot = snapshot_.runner->InProcessChannel();
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::path(::testing::TempDir()) / test->name();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    context_.data_dir = folder_.string();
  }

  EnvironmentSpec Spec(const std::string& id) {
    EnvironmentSpec spec;
    spec.environment_id = id;
    spec.observation_size = kObservations;
    spec.action_size = kActions;
    spec.command_minimum = {-3};
    spec.command_maximum = {3};
    spec.control_period = absl::Milliseconds(40);
    spec.max_episode_steps = 1000;
    return spec;
  }

  void Append(ReplayWriter& writer, int rows) {
    TransitionChunk chunk;
    chunk.observation_size = kObservations;
    chunk.action_size = kActions;
    Segment segment;
    segment.episode_id = ++episodes_;
    segment.num_steps = rows;
    segment.observations.resize((rows + 1) * kObservations);
    random_.FillNormal(segment.observations);
    segment.actions.assign(rows, 0.5f);
    segment.rewards.assign(rows, 1.0f);
    segment.policy_versions.assign(rows, 0);
    segment.truncated = true;
    chunk.segments.push_back(std::move(segment));
    ASSERT_OK(writer.Append(chunk, absl::Now() + kPatience));
  }

  std::unique_ptr<ReplayWriter> OpenWriter(ReplayClient& client, const std::string& id) {
    return client.OpenWriter({.table = "env",
                              .writer_id = "test",
                              .writer_epoch = 1,
                              .environment = Spec(id),
                              .simulated = false});
  }

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

  std::unique_ptr<Metrics> metrics_ = MakeLocalMetrics();
  ServiceContext context_;
  Host replay_, snapshot_;
  std::filesystem::path folder_;
  Random random_{4};
  uint64_t episodes_ = 0;
};

TEST_F(SacLearnerComponentTest, TurnsRowsIntoUpdatesAndSnapshotsAndContinuesAfterARestart) {
  ReplayClient replay(context_.replay, "run");
  SnapshotClient snapshots(context_.snapshot, "run");
  const auto policies = snapshots.Watch(demorl::snapshot::v1::SNAPSHOT_KIND_POLICY);
  {
    const Host learner = Host::Start(MakeSacLearnerComponent(context_));
    auto first = policies->WaitForNewer(0, absl::Now() + kPatience);
    ASSERT_OK(first);
    EXPECT_OK(MlpPolicy::Create((*first)->payload, kObservations, kActions));
    const auto writer = OpenWriter(replay, "InvertedPendulum-v5");
    Append(*writer, 60);  // 20 of them are the minimum, each further one earns an update
    const auto snapshot = AwaitStep(*policies, 40);
    ASSERT_NE(snapshot, nullptr);
    EXPECT_EQ(snapshot->metadata.lineage().environment_rows(), 60u);
    EXPECT_EQ(snapshot->metadata.architecture().at("hidden_sizes"), "16");
    EXPECT_OK(learner.runner->Shutdown());
    writer->Close();
  }
  EXPECT_OK(snapshots.Get(demorl::snapshot::v1::SNAPSHOT_KIND_VALUE, 0));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "checkpoints" / "0000000040" / "DONE"));

  const Host learner = Host::Start(MakeSacLearnerComponent(context_));
  const auto writer = OpenWriter(replay, "InvertedPendulum-v5");
  const auto snapshot = AwaitStep(*policies, 40);
  ASSERT_NE(snapshot, nullptr);
  EXPECT_EQ(snapshot->metadata.lineage().learner_step(), 40u);
  EXPECT_OK(learner.runner->Shutdown());
  writer->Close();
}

TEST_F(SacLearnerComponentTest, LearnsTheSizesOfAForeignEnvironmentFromReplay) {
  context_.config.set_environment("MyOwn-v0");
  ReplayClient replay(context_.replay, "run");
  SnapshotClient snapshots(context_.snapshot, "run");
  const auto policies = snapshots.Watch(demorl::snapshot::v1::SNAPSHOT_KIND_POLICY);
  const Host learner = Host::Start(MakeSacLearnerComponent(context_));
  EXPECT_EQ(learner.component->Status().state, ComponentState::kStarting);
  const auto writer = OpenWriter(replay, "MyOwn-v0");
  Append(*writer, 1);
  const auto snapshot = policies->WaitForNewer(0, absl::Now() + kPatience);
  ASSERT_OK(snapshot);
  EXPECT_EQ((*snapshot)->metadata.observation_size(), static_cast<uint32_t>(kObservations));
  EXPECT_OK(learner.runner->Shutdown());
  writer->Close();
}

TEST_F(SacLearnerComponentTest, AnImpossibleDeviceIsRefusedAtOnce) {
  context_.config.set_device("abacus");
  EXPECT_THAT(MakeSacLearnerComponent(context_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("abacus")));
}

}  // namespace
}  // namespace demorl
