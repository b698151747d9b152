#include "services/sac_learner/learner_loop.h"

#include <algorithm>
#include <deque>
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/base/file_io.h"
#include "common/policy/safetensors.h"
#include "common/tensor/trace_codec.h"
#include "gtest/gtest.h"
#include "services/sac_learner/core/batch_shares.h"
#include "tests/fakes/fake_trace_log.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(30);

// Answers as many batches as were allowed; a batch of NaNs for each one marked bad. Thread-safe.
class FakeReplay {
 public:
  class Sampler final : public BatchSampler {
   public:
    explicit Sampler(FakeReplay* replay) : replay_(replay) {}
    absl::StatusOr<SampledBatch> Next(absl::Time deadline) override { return replay_->Next(deadline); }
    void SetShares(const std::vector<TableShare>& shares) override { replay_->AddShares(shares); }
    void Close() override {}

   private:
    FakeReplay* const replay_;
  };

  std::unique_ptr<BatchSampler> Open(const BatchSamplerOptions& options) {
    AddShares(options.shares);
    return std::make_unique<Sampler>(this);
  }

  void Allow(int batches, bool bad = false) {
    absl::MutexLock lock(&mutex_);
    allowed_.insert(allowed_.end(), batches, bad);
  }

  // Come with the next batch.
  void set_traces(std::vector<TraceContext> traces) {
    absl::MutexLock lock(&mutex_);
    traces_ = std::move(traces);
  }

  // Fails the next call.
  void Fail(absl::Status status) {
    absl::MutexLock lock(&mutex_);
    failure_ = std::move(status);
  }

  // Until the learner has asked again after everything that was allowed.
  void AwaitIdle() {
    absl::MutexLock lock(&mutex_);
    const auto idle = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return allowed_.empty() && waiting_; };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&idle), kPatience));
  }

  std::vector<std::vector<TableShare>> shares() {
    absl::MutexLock lock(&mutex_);
    return shares_;
  }

  void set_rows_inserted(int64_t rows) {
    absl::MutexLock lock(&mutex_);
    rows_inserted_ = rows;
  }

 private:
  void AddShares(const std::vector<TableShare>& shares) {
    absl::MutexLock lock(&mutex_);
    shares_.push_back(shares);
  }

  absl::StatusOr<SampledBatch> Next(absl::Time deadline) {
    absl::MutexLock lock(&mutex_);
    waiting_ = true;
    const auto ready = [this]()
                           ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return !allowed_.empty() || !failure_.ok(); };
    const bool came = mutex_.AwaitWithDeadline(absl::Condition(&ready), deadline);
    if (!failure_.ok()) {
      return failure_;
    }
    if (!came) {
      return absl::DeadlineExceededError("env holds 3 rows; waiting for 10");
    }
    waiting_ = false;
    SampledBatch sampled;
    sampled.batch.Resize(8, 3, 1);
    for (size_t i = 0; i < sampled.batch.observations.size(); ++i) {
      sampled.batch.observations[i] = static_cast<float>(i % 5) - 2;
    }
    if (allowed_.front()) {
      sampled.batch.rewards[0] = std::numeric_limits<float>::quiet_NaN();
    }
    allowed_.pop_front();
    sampled.rows_inserted = rows_inserted_;
    sampled.dynamics_version = 3;
    sampled.traces = std::exchange(traces_, {});
    return sampled;
  }

  absl::Mutex mutex_;
  std::deque<bool> allowed_ ABSL_GUARDED_BY(mutex_);
  bool waiting_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  std::vector<TraceContext> traces_ ABSL_GUARDED_BY(mutex_);
  int64_t rows_inserted_ ABSL_GUARDED_BY(mutex_) = 100;
  std::vector<std::vector<TableShare>> shares_ ABSL_GUARDED_BY(mutex_);
};

// A snapshot store that can be stopped. Thread-safe.
class FakeStore {
 public:
  absl::StatusOr<uint64_t> Publish(const demorl::snapshot::v1::SnapshotMetadata& metadata,
                                   const std::string& payload, absl::Time deadline) {
    absl::MutexLock lock(&mutex_);
    if (!mutex_.AwaitWithDeadline(absl::Condition(&open_), deadline)) {
      return absl::UnavailableError("store is away");
    }
    EXPECT_OK(DecodeSafetensors(payload));
    published_.push_back(metadata);
    return published_.size();
  }

  void set_open(bool open) {
    absl::MutexLock lock(&mutex_);
    open_ = open;
  }

  std::vector<demorl::snapshot::v1::SnapshotMetadata> AwaitPublished(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return published_.size() >= count; };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&enough), kPatience));
    return published_;
  }

  // Waits until something of that update is published.
  std::vector<demorl::snapshot::v1::SnapshotMetadata> AwaitLearnerStep(uint64_t step) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return !published_.empty() && published_.back().lineage().learner_step() == step;
    };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&there), kPatience));
    return published_;
  }

 private:
  absl::Mutex mutex_;
  bool open_ ABSL_GUARDED_BY(mutex_) = true;
  std::vector<demorl::snapshot::v1::SnapshotMetadata> published_ ABSL_GUARDED_BY(mutex_);
};

class LearnerLoopTest : public ::testing::Test {
 protected:
  LearnerLoopTest() {
    config_.mutable_sac()->add_hidden_sizes(8);
    config_.mutable_sac()->set_batch_size(8);
    config_.mutable_sac()->set_publish_interval_updates(5);
    config_.mutable_sac()->set_checkpoint_interval_updates(10);
    config_.mutable_sac()->set_max_non_finite(3);
    config_.set_model_based(false);
    config_.set_device("cpu");
    environment_.environment_id = "Fake-v0";
    environment_.observation_size = 3;
    environment_.action_size = 1;
    std::filesystem::remove_all(folder_);
  }

  std::unique_ptr<LearnerLoop> MakeLoop() {
    LearnerLoop::Parts parts;
    parts.config = config_;
    parts.checkpoints = &checkpoints_;
    parts.prepare = [this]() -> absl::StatusOr<PreparedLearner> {
      if (preparations_to_fail_-- > 0) {
        return absl::UnavailableError("no actor yet");
      }
      return PrepareLearner(config_, environment_, checkpoints_);
    };
    parts.open_sampler = [this](const BatchSamplerOptions& options) { return replay_.Open(options); };
    parts.make_publisher = [this](const EnvironmentSpec& environment) {
      demorl::snapshot::v1::SnapshotMetadata base;
      base.set_observation_size(environment.observation_size);
      return std::make_unique<SnapshotPublisher>(
          [this](demorl::snapshot::v1::SnapshotMetadata metadata, const std::string& payload,
                 absl::Time deadline) { return store_.Publish(metadata, payload, deadline); },
          base, &metrics_, &trace_log_);
    };
    parts.metrics = &metrics_;
    parts.trace_log = &trace_log_;
    return std::make_unique<LearnerLoop>(std::move(parts));
  }

  void RunUpdates(int count) {
    replay_.Allow(count);
    replay_.AwaitIdle();
  }

  demorl::config::v1::RunConfig config_;
  EnvironmentSpec environment_;
  const std::filesystem::path folder_ = std::filesystem::path(::testing::TempDir()) /
                                        ::testing::UnitTest::GetInstance()->current_test_info()->name();
  std::unique_ptr<Metrics> registry_ = MakeLocalMetrics();
  SacLearnerMetrics metrics_{*registry_};
  const ServiceCheckpoints checkpoints_{folder_.string(), 3, metrics_.checkpoints};
  FakeTraceLog trace_log_;
  FakeReplay replay_;
  FakeStore store_;
  int preparations_to_fail_ = 0;
};

TEST_F(LearnerLoopTest, PublishesBeforeTheFirstBatchAndAtEachInterval) {
  const auto loop = MakeLoop();
  loop->Start();
  auto published = store_.AwaitPublished(2);
  EXPECT_EQ(published[0].kind(), demorl::snapshot::v1::SNAPSHOT_KIND_POLICY);
  EXPECT_EQ(published[0].architecture().at("type"), "tanh_gaussian_mlp");
  EXPECT_EQ(published[0].observation_size(), 3u);
  EXPECT_EQ(published[0].lineage().learner_step(), 0u);
  EXPECT_EQ(published[1].kind(), demorl::snapshot::v1::SNAPSHOT_KIND_VALUE);
  RunUpdates(5);
  published = store_.AwaitPublished(4);
  EXPECT_EQ(published[2].lineage().learner_step(), 5u);
  EXPECT_EQ(published[2].lineage().environment_rows(), 100u);
  EXPECT_EQ(published[0].lineage().dynamics_version(), 0u);
  EXPECT_EQ(published[2].lineage().dynamics_version(), 3u);
  EXPECT_EQ(published[2].lineage().parent_version(), 1u);
  EXPECT_EQ(loop->Status().figures.at("updates"), 5);
  EXPECT_EQ(loop->Status().state, ComponentState::kRunning);
}

TEST_F(LearnerLoopTest, AnAbsentStoreNeverHoldsUpTrainingAndTheNewestSnapshotWins) {
  store_.set_open(false);
  const auto loop = MakeLoop();
  loop->Start();
  RunUpdates(50);
  EXPECT_EQ(loop->Status().figures.at("updates"), 50);
  store_.set_open(true);
  // Of the eleven pairs at most the one that was on its way and the newest are sent.
  const auto published = store_.AwaitLearnerStep(50);
  EXPECT_LE(published.size(), 4u);
  EXPECT_GE(metrics_.publish_superseded.Value(), 8);
}

TEST_F(LearnerLoopTest, ATraceGoesFromItsUpdateToTheFirstPolicyThatIsPublishedAfterIt) {
  store_.set_open(false);
  const auto loop = MakeLoop();
  loop->Start();
  const TraceContext drawn = {.trace_id = {200}, .span_id = {200}};
  replay_.set_traces({drawn});
  RunUpdates(50);  // its snapshot is superseded while the store is away
  store_.set_open(true);
  const auto published = store_.AwaitLearnerStep(50);
  EXPECT_OK(loop->Drain(absl::Now() + kPatience));
  const std::vector<FakeTraceLog::Span> spans = trace_log_.spans();
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0].content.name, "update");
  EXPECT_EQ(spans[0].parent, drawn);
  EXPECT_EQ(spans[1].content.name, "publish");
  EXPECT_EQ(spans[1].parent, spans[0].context);
  int num_traced = 0;
  for (const auto& metadata : published) {
    if (metadata.traces_size() > 0) {
      ++num_traced;
      EXPECT_EQ(metadata.kind(), demorl::snapshot::v1::SNAPSHOT_KIND_POLICY);
      EXPECT_EQ(DecodeTraceContexts(metadata.traces()), std::vector<TraceContext>{spans[1].context});
    }
  }
  EXPECT_EQ(num_traced, 1);
}

TEST_F(LearnerLoopTest, ARestartContinuesWhereTheLastOneDrained) {
  std::string state;
  {
    const auto loop = MakeLoop();
    loop->Start();
    store_.AwaitPublished(2);  // on a busy machine the last policy could supersede it
    RunUpdates(7);
    EXPECT_OK(loop->Drain(absl::Now() + kPatience));
  }
  EXPECT_TRUE(std::filesystem::exists(folder_ / "checkpoints" / "0000000007" / "DONE"));
  const auto loop = MakeLoop();
  loop->Start();
  RunUpdates(1);
  EXPECT_EQ(loop->Status().figures.at("updates"), 8);
  EXPECT_EQ(store_.AwaitPublished(6)[4].lineage().learner_step(), 7u);
}

TEST_F(LearnerLoopTest, ADamagedCheckpointFallsBackToTheOneBefore) {
  {
    const auto loop = MakeLoop();
    loop->Start();
    RunUpdates(23);
    EXPECT_OK(loop->Drain(absl::Now() + kPatience));
  }
  ASSERT_OK_AND_ASSIGN(std::string bytes,
                       ReadFile(folder_ / "checkpoints" / "0000000023" / "sac_learner.state"));
  bytes[bytes.size() / 2] ^= 1;
  ASSERT_OK(WriteFileAtomically(folder_ / "checkpoints" / "0000000023" / "sac_learner.state", bytes));
  ASSERT_OK_AND_ASSIGN(const PreparedLearner prepared, PrepareLearner(config_, environment_, checkpoints_));
  EXPECT_EQ(prepared.learner->num_updates(), 20);
  EXPECT_EQ(prepared.environment_rows, 100);
  EXPECT_EQ(metrics_.checkpoints.damaged.Value(), 1);
}

TEST_F(LearnerLoopTest, ACheckpointOfOtherShapesStopsTheLearner) {
  {
    const auto loop = MakeLoop();
    loop->Start();
    RunUpdates(1);
    EXPECT_OK(loop->Drain(absl::Now() + kPatience));
  }
  environment_.observation_size = 4;
  EXPECT_THAT(PrepareLearner(config_, environment_, checkpoints_),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("needed: Float[8,")));
}

TEST_F(LearnerLoopTest, ACheckpointCanBeAskedForWhileWaitingAndWhilePaused) {
  const auto loop = MakeLoop();
  EXPECT_THAT(loop->Checkpoint(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not ready")));
  loop->Start();
  RunUpdates(3);
  ASSERT_OK_AND_ASSIGN(const std::string path, loop->Checkpoint());
  EXPECT_THAT(path, HasSubstr("0000000003"));
  loop->Pause();
  ASSERT_OK(loop->Checkpoint());  // answered after the pause has taken hold
  EXPECT_EQ(loop->Status().state, ComponentState::kPaused);
  loop->Resume();
  RunUpdates(1);
  EXPECT_EQ(loop->Status().figures.at("updates"), 4);
}

TEST_F(LearnerLoopTest, BadBatchesAreCountedAndTooManyOfThemMakeItUnhealthyUntilAGoodOne) {
  const auto loop = MakeLoop();
  loop->Start();
  replay_.Allow(2, /*bad=*/true);
  replay_.AwaitIdle();
  EXPECT_EQ(loop->Status().state, ComponentState::kRunning);
  EXPECT_EQ(metrics_.skipped.Value(), 2);
  replay_.Allow(1, /*bad=*/true);
  replay_.AwaitIdle();
  EXPECT_EQ(loop->Status().state, ComponentState::kUnhealthy);
  EXPECT_THAT(loop->Status().detail, HasSubstr("3 batches in a row"));
  RunUpdates(1);
  EXPECT_EQ(loop->Status().state, ComponentState::kRunning);
  EXPECT_EQ(loop->Status().figures.at("skipped"), 3);
}

TEST_F(LearnerLoopTest, AnotherRunsReplayMakesItUnhealthyAndItStillDrains) {
  const auto loop = MakeLoop();
  loop->Start();
  RunUpdates(2);
  replay_.Fail(absl::FailedPreconditionError("replay serves run b, not a"));
  while (loop->Checkpoint().ok()) {  // answered between two batches, until the loop meets the failure
  }
  EXPECT_EQ(loop->Status().state, ComponentState::kUnhealthy);
  EXPECT_THAT(loop->Status().detail, HasSubstr("run b, not a"));
  EXPECT_OK(loop->Drain(absl::Now() + kPatience));
  EXPECT_TRUE(std::filesystem::exists(folder_ / "checkpoints" / "0000000002" / "DONE"));
}

TEST_F(LearnerLoopTest, WaitsForTheEnvironmentsSizes) {
  preparations_to_fail_ = 1;
  const auto loop = MakeLoop();
  EXPECT_EQ(loop->Status().state, ComponentState::kStarting);
  loop->Start();
  RunUpdates(1);
  EXPECT_EQ(loop->Status().figures.at("updates"), 1);
}

TEST_F(LearnerLoopTest, TheCompositionOfBatchesFollowsTheSchedule) {
  config_.set_model_based(true);
  auto* schedule = config_.mutable_sac()->mutable_real_ratio();
  schedule->set_start_value(0.25);
  schedule->set_end_epoch(1);
  schedule->set_end_value(1);
  replay_.set_rows_inserted(0);
  const auto loop = MakeLoop();
  loop->Start();
  RunUpdates(1);
  replay_.set_rows_inserted(500);
  RunUpdates(1);
  replay_.set_rows_inserted(1000);
  RunUpdates(2);
  const auto shares = replay_.shares();
  ASSERT_EQ(shares.size(), 3u);
  EXPECT_EQ(shares[0][0].rows, 2);
  EXPECT_EQ(shares[0][1].table, "mpc");
  EXPECT_EQ(shares[0][1].rows, 6);
  EXPECT_EQ(shares[1][0].rows, 5);
  EXPECT_EQ(shares[2].size(), 1u);
  EXPECT_EQ(shares[2][0].rows, 8);
}

TEST_F(LearnerLoopTest, DrainsWithinItsDeadlineWhenTheStoreIsAway) {
  store_.set_open(false);
  const auto loop = MakeLoop();
  loop->Start();
  RunUpdates(3);
  EXPECT_THAT(loop->Drain(absl::Now() + absl::Milliseconds(300)),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("not published")));
  store_.set_open(true);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "checkpoints" / "0000000003" / "DONE"));
}

TEST(BatchSharesTest, TakesTheIntegerPartOfTheRatioAsMbpoDoes) {
  demorl::config::v1::RunConfig config;
  config.mutable_sac()->mutable_real_ratio()->set_start_value(0.05);
  config.mutable_sac()->mutable_real_ratio()->set_end_value(0.05);
  const auto shares = BatchShares(config, 5000);
  ASSERT_EQ(shares.size(), 2u);
  EXPECT_EQ(shares[0].rows, 12);
  EXPECT_EQ(shares[1].rows, 244);
  config.mutable_sac()->mutable_real_ratio()->set_end_value(0);
  config.mutable_sac()->mutable_real_ratio()->set_start_value(0);
  EXPECT_EQ(BatchShares(config, 0)[0].rows, 1);
  config.set_model_based(false);
  EXPECT_EQ(BatchShares(config, 0)[0].rows, 256);
}

}  // namespace
}  // namespace demorl
