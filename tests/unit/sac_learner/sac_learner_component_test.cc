// The learner against the real replay and snapshot services, over channels inside the process.

#include "services/sac_learner/sac_learner_component.h"

#include <filesystem>
#include <memory>
#include <string>

#include "absl/time/clock.h"
#include "common/policy/mlp_policy.h"
#include "gtest/gtest.h"
#include "services/replay/replay_client.h"
#include "services/snapshot/snapshot_client.h"
#include "tests/testing/component_test.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::Host;
using ::demorl::testing::kPatience;
using ::demorl::testing::PendulumComponentTest;
using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

class SacLearnerComponentTest : public PendulumComponentTest {
 protected:
  SacLearnerComponentTest() {
    context_.config.set_environment("InvertedPendulum-v5");
    context_.config.set_model_based(false);
    auto* sac = context_.config.mutable_sac();
    sac->add_hidden_sizes(16);
    sac->set_batch_size(16);
    sac->set_publish_interval_updates(10);
    auto& table = AddTable("env");
    table.mutable_rate_limiter()->set_min_rows(20);
    table.mutable_rate_limiter()->set_updates_per_row(1);
    StartServices();
  }
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
    const auto writer = OpenWriter(replay);
    Append(*writer, 60,
           /*terminated=*/false);  // 20 of them are the minimum, each further one earns an update
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
  const auto writer = OpenWriter(replay);
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
  const auto writer = OpenWriter(replay);
  Append(*writer, 1, /*terminated=*/false);
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
