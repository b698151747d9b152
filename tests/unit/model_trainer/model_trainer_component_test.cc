// The trainer against the real replay and snapshot services, over channels inside the process.

#include "services/model_trainer/model_trainer_component.h"

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "common/base/random.h"
#include "common/policy/safetensors.h"
#include "common/rpc/server_runner.h"
#include "gtest/gtest.h"
#include "services/replay/replay_client.h"
#include "services/replay/replay_component.h"
#include "services/snapshot/snapshot_client.h"
#include "services/snapshot/snapshot_component.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

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

class ModelTrainerComponentTest : public ::testing::Test {
 protected:
  ModelTrainerComponentTest() {
    context_.config.set_run_id("run");
    context_.config.set_device("cpu");
    context_.config.mutable_sac()->set_learning_starts(60);
    auto* model = context_.config.mutable_model();
    model->set_train_interval_steps(50);
    model->set_ensemble_size(2);
    model->set_num_elite_members(1);
    model->add_hidden_sizes(8);
    model->set_max_passes(2);
    auto* table = context_.config.mutable_replay()->add_tables();
    table->set_name("env");
    table->set_durability(demorl::config::v1::DURABILITY_NONE);
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
  ~ModelTrainerComponentTest() override { std::filesystem::remove_all(folder_); }

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

  void Append(ReplayWriter& writer, int rows) {
    TransitionChunk chunk{.observation_size = kObservations, .action_size = kActions};
    Segment segment;
    segment.episode_id = ++episodes_;
    segment.num_steps = rows;
    segment.observations.resize((rows + 1) * kObservations);
    random_.FillNormal(segment.observations);
    segment.actions.assign(rows, 0.5f);
    segment.rewards.assign(rows, 1.0f);
    segment.policy_versions.assign(rows, 0);
    segment.terminated = true;
    chunk.segments.push_back(std::move(segment));
    ASSERT_OK(writer.Append(chunk, absl::Now() + kPatience));
  }

  std::shared_ptr<const Snapshot> AwaitTraining(SnapshotWatch& watch, uint64_t training) {
    uint64_t version = 0;
    while (true) {
      auto snapshot = watch.WaitForNewer(version, absl::Now() + kPatience);
      EXPECT_OK(snapshot);
      if (!snapshot.ok() || (*snapshot)->metadata.lineage().learner_step() >= training) {
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

TEST_F(ModelTrainerComponentTest, TurnsRowsIntoDynamicsAndContinuesAfterARestart) {
  context_.config.set_environment("InvertedPendulum-v5");
  ReplayClient replay(context_.replay, "run");
  SnapshotClient snapshots(context_.snapshot, "run");
  const auto watch = snapshots.Watch(demorl::snapshot::v1::SNAPSHOT_KIND_DYNAMICS);
  const auto writer = OpenWriter(replay);
  {
    const Host trainer = Host::Start(MakeModelTrainerComponent(context_));
    Append(*writer, 60);
    const auto first = AwaitTraining(*watch, 1);
    ASSERT_NE(first, nullptr);
    EXPECT_EQ(first->metadata.lineage().environment_rows(), 60);
    EXPECT_EQ(first->metadata.architecture().at("hidden_sizes"), "8");
    ASSERT_OK_AND_ASSIGN(const TensorFile tensors, DecodeSafetensors(first->payload));
    EXPECT_EQ(tensors.tensors.count("termination.0.weight"), 0);  // a known rule
    ASSERT_OK(trainer.runner->Shutdown());
  }
  const Host trainer = Host::Start(MakeModelTrainerComponent(context_));
  Append(*writer, 50);
  const auto second = AwaitTraining(*watch, 2);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->metadata.lineage().learner_step(), 2);
  EXPECT_EQ(second->metadata.lineage().environment_rows(), 110);
  EXPECT_EQ(second->metadata.lineage().parent_version(), 1);
  ASSERT_OK(trainer.runner->Shutdown());
  writer->Close();
}

TEST_F(ModelTrainerComponentTest, LearnsSizesAndTerminationsOfATaskThatIsNotNative) {
  context_.config.set_environment("SomebodysTask-v0");
  ReplayClient replay(context_.replay, "run");
  SnapshotClient snapshots(context_.snapshot, "run");
  const auto watch = snapshots.Watch(demorl::snapshot::v1::SNAPSHOT_KIND_DYNAMICS);
  const Host trainer = Host::Start(MakeModelTrainerComponent(context_));
  const auto writer = OpenWriter(replay);
  Append(*writer, 30);
  Append(*writer, 30);
  const auto first = AwaitTraining(*watch, 1);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(first->metadata.observation_size(), kObservations);
  ASSERT_OK_AND_ASSIGN(const TensorFile tensors, DecodeSafetensors(first->payload));
  EXPECT_EQ(tensors.tensors.count("termination.0.weight"), 1);
  ASSERT_OK(trainer.runner->Shutdown());
  writer->Close();
}

}  // namespace
}  // namespace demorl
