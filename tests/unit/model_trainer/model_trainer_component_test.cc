// The trainer against the real replay and snapshot services, over channels inside the process.

#include "services/model_trainer/model_trainer_component.h"

#include <memory>

#include "absl/time/clock.h"
#include "common/policy/safetensors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/replay/replay_client.h"
#include "services/snapshot/snapshot_client.h"
#include "tests/testing/component_test.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::Host;
using ::demorl::testing::PendulumComponentTest;
using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

class ModelTrainerComponentTest : public PendulumComponentTest {
 protected:
  ModelTrainerComponentTest() {
    context_.config.mutable_sac()->set_learning_starts(60);
    auto* model = context_.config.mutable_model();
    model->set_train_interval_steps(50);
    model->set_ensemble_size(2);
    model->set_num_elite_members(1);
    model->add_hidden_sizes(8);
    model->set_max_passes(2);
    AddTable("env");
    StartServices();
  }
};

TEST_F(ModelTrainerComponentTest, TurnsRowsIntoDynamicsAndContinuesAfterARestart) {
  context_.config.set_environment("InvertedPendulum-v5");
  ReplayClient replay(context_.replay, "run");
  SnapshotClient snapshots(context_.snapshot, "run");
  const auto watch = snapshots.Watch(demorl::snapshot::v1::SNAPSHOT_KIND_DYNAMICS);
  const auto writer = OpenWriter(replay);
  {
    const Host trainer = Host::Start(MakeModelTrainerComponent(context_));
    Append(*writer, 60, /*terminated=*/true);
    const auto first = AwaitStep(*watch, 1);
    ASSERT_NE(first, nullptr);
    EXPECT_EQ(first->metadata.lineage().environment_rows(), 60);
    EXPECT_EQ(first->metadata.architecture().at("hidden_sizes"), "8");
    ASSERT_OK_AND_ASSIGN(const TensorFile tensors, DecodeSafetensors(first->payload));
    EXPECT_EQ(tensors.tensors.count("termination.0.weight"), 0);  // a known rule
    ASSERT_OK(trainer.runner->Shutdown());
  }
  const Host trainer = Host::Start(MakeModelTrainerComponent(context_));
  Append(*writer, 50, /*terminated=*/true);
  const auto second = AwaitStep(*watch, 2);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->metadata.lineage().learner_step(), 2);
  EXPECT_EQ(second->metadata.lineage().environment_rows(), 110);
  EXPECT_EQ(second->metadata.lineage().parent_version(), 1);
  ASSERT_OK(trainer.runner->Shutdown());
  writer->Close();
}

TEST_F(ModelTrainerComponentTest, AnImpossibleDeviceIsRefusedAtOnceForATaskThatIsNotNative) {
  context_.config.set_environment("Foreign-v0");
  context_.config.set_device("abacus");
  EXPECT_THAT(MakeModelTrainerComponent(context_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("abacus")));
}

TEST_F(ModelTrainerComponentTest, LearnsSizesAndTerminationsOfATaskThatIsNotNative) {
  context_.config.set_environment("SomebodysTask-v0");
  ReplayClient replay(context_.replay, "run");
  SnapshotClient snapshots(context_.snapshot, "run");
  const auto watch = snapshots.Watch(demorl::snapshot::v1::SNAPSHOT_KIND_DYNAMICS);
  const Host trainer = Host::Start(MakeModelTrainerComponent(context_));
  const auto writer = OpenWriter(replay);
  Append(*writer, 30, /*terminated=*/true);
  Append(*writer, 30, /*terminated=*/true);
  const auto first = AwaitStep(*watch, 1);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(first->metadata.observation_size(), kObservations);
  ASSERT_OK_AND_ASSIGN(const TensorFile tensors, DecodeSafetensors(first->payload));
  EXPECT_EQ(tensors.tensors.count("termination.0.weight"), 1);
  ASSERT_OK(trainer.runner->Shutdown());
  writer->Close();
}

}  // namespace
}  // namespace demorl
