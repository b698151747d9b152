#include "services/model_trainer/trainer_loop.h"

#include <algorithm>
#include <deque>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/base/file_io.h"
#include "common/base/random.h"
#include "common/policy/safetensors.h"
#include "gtest/gtest.h"
#include "services/model_trainer/training_schedule.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using demorl::config::v1::RunConfig;
using demorl::snapshot::v1::SnapshotMetadata;
using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(30);

RunConfig SmallConfig() {
  RunConfig config;
  config.mutable_sac()->set_learning_starts(100);
  config.mutable_model()->set_train_interval_steps(50);
  config.mutable_model()->set_ensemble_size(2);
  config.mutable_model()->set_num_elite_members(1);
  config.mutable_model()->add_hidden_sizes(8);
  config.mutable_model()->set_batch_size(32);
  config.mutable_model()->set_max_passes(2);
  config.set_device("cpu");
  return config;
}

TEST(TrainingScheduleTest, FirstAtTheStartThenPastEachMultiple) {
  RunConfig config = SmallConfig();
  EXPECT_FALSE(TrainingIsDue(config, 99, 0));
  EXPECT_TRUE(TrainingIsDue(config, 100, 0));
  EXPECT_FALSE(TrainingIsDue(config, 149, 100));
  EXPECT_TRUE(TrainingIsDue(config, 150, 100));
  EXPECT_TRUE(TrainingIsDue(config, 390, 103));
  EXPECT_FALSE(TrainingIsDue(config, 399, 390));
  config.mutable_sac()->set_learning_starts(1);
  EXPECT_FALSE(TrainingIsDue(config, 1, 0));
  EXPECT_TRUE(TrainingIsDue(config, 2, 0));
}

TEST(TrainingScheduleTest, NoneAfterTheLastEpoch) {
  RunConfig config = SmallConfig();
  config.mutable_model()->set_last_epoch(70);
  EXPECT_TRUE(TrainingIsDue(config, 70000, 69000));
  EXPECT_FALSE(TrainingIsDue(config, 70050, 69000));
}

// Table env. Thread-safe.
class FakeTable {
 public:
  class Tail final : public TableTail {
   public:
    Tail(FakeTable* table, uint64_t position) : table_(table), position_(position) {}
    absl::StatusOr<TailedRows> Next(absl::Time deadline) override {
      absl::StatusOr<TailedRows> rows = table_->Next(position_, deadline);
      if (rows.ok()) {
        position_ = rows->next_position;
      }
      return rows;
    }
    void Close() override {}

   private:
    FakeTable* const table_;
    uint64_t position_;
  };

  std::unique_ptr<TableTail> Open(uint64_t position) { return std::make_unique<Tail>(this, position); }

  // Rows of chunks of up to ten, each with a random step.
  void Insert(int rows, bool bad = false) {
    absl::MutexLock lock(&mutex_);
    while (rows > 0) {
      const int steps = std::min(rows, 10);
      TransitionChunk chunk{.observation_size = 2, .action_size = 1};
      Segment segment{.num_steps = steps};
      segment.observations.resize((steps + 1) * 2);
      segment.actions.resize(steps);
      segment.rewards.resize(steps);
      random_.FillNormal(segment.observations);
      random_.FillNormal(segment.actions);
      random_.FillNormal(segment.rewards);
      if (bad) {
        segment.rewards[0] = std::numeric_limits<float>::quiet_NaN();
      }
      chunk.segments.push_back(std::move(segment));
      chunks_.push_back({.position = rows_, .next_position = rows_ + steps, .chunk = std::move(chunk)});
      rows_ += steps;
      rows -= steps;
    }
  }

  int64_t rows() {
    absl::MutexLock lock(&mutex_);
    return static_cast<int64_t>(rows_);
  }

  // Until a tail has asked for the row after the last one.
  void AwaitRead() {
    absl::MutexLock lock(&mutex_);
    const auto read = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return asked_ == rows_; };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&read), kPatience));
  }

 private:
  absl::StatusOr<TailedRows> Next(uint64_t position, absl::Time deadline) {
    absl::MutexLock lock(&mutex_);
    asked_ = position;
    const auto ready = [this, position]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return rows_ > position; };
    if (!mutex_.AwaitWithDeadline(absl::Condition(&ready), deadline)) {
      return absl::DeadlineExceededError("no rows");
    }
    for (const TailedRows& rows : chunks_) {
      if (rows.position >= position) {
        return rows;
      }
    }
    return absl::InternalError("position within a chunk");
  }

  absl::Mutex mutex_;
  Random random_ ABSL_GUARDED_BY(mutex_){5};
  std::vector<TailedRows> chunks_ ABSL_GUARDED_BY(mutex_);
  uint64_t rows_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t asked_ ABSL_GUARDED_BY(mutex_) = 0;
};

// A snapshot store that can be away. Thread-safe.
class FakeStore {
 public:
  struct Entry {
    SnapshotMetadata metadata;
    std::string payload;
  };

  absl::StatusOr<uint64_t> Publish(const SnapshotMetadata& metadata, const std::string& payload) {
    absl::MutexLock lock(&mutex_);
    ++attempts_;
    if (away_) {
      return absl::UnavailableError("store is away");
    }
    entries_.push_back({metadata, payload});
    return entries_.size();
  }

  void set_away(bool away) {
    absl::MutexLock lock(&mutex_);
    away_ = away;
  }

  void AwaitAttempts(int count) {
    absl::MutexLock lock(&mutex_);
    const auto reached = [this, count]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return attempts_ >= count; };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&reached), kPatience));
  }

  Entry AwaitEntry(size_t number) {
    absl::MutexLock lock(&mutex_);
    const auto reached = [this, number]()
                             ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return entries_.size() >= number; };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&reached), kPatience));
    return entries_.size() >= number ? entries_[number - 1] : Entry{};
  }

  size_t size() {
    absl::MutexLock lock(&mutex_);
    return entries_.size();
  }

 private:
  absl::Mutex mutex_;
  bool away_ ABSL_GUARDED_BY(mutex_) = false;
  int attempts_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<Entry> entries_ ABSL_GUARDED_BY(mutex_);
};

class TrainerLoopTest : public ::testing::Test {
 protected:
  TrainerLoopTest()
      : root_(std::filesystem::path(::testing::TempDir()) /
              ::testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(root_);
    environment_.environment_id = "Fake-v0";
    environment_.observation_size = 2;
    environment_.action_size = 1;
  }
  ~TrainerLoopTest() override { std::filesystem::remove_all(root_); }

  std::unique_ptr<TrainerLoop> MakeLoop() {
    TrainerLoop::Parts parts;
    parts.config = config_;
    parts.prepare = [this](std::function<bool()> should_stop) {
      return PrepareTrainer(config_, environment_, false, std::move(should_stop), checkpoints_);
    };
    parts.open_tail = [this](uint64_t position) { return table_.Open(position); };
    parts.rows_inserted = [this]() -> absl::StatusOr<int64_t> { return table_.rows(); };
    parts.publish = [this](const SnapshotMetadata& metadata, const std::string& payload, absl::Time) {
      return store_.Publish(metadata, payload);
    };
    parts.make_metadata = [](const EnvironmentSpec&) {
      SnapshotMetadata metadata;
      metadata.set_kind(demorl::snapshot::v1::SNAPSHOT_KIND_DYNAMICS);
      return metadata;
    };
    parts.checkpoints = &checkpoints_;
    parts.metrics = &metrics_;
    auto loop = std::make_unique<TrainerLoop>(std::move(parts));
    loop->Start();
    return loop;
  }

  static absl::Time Soon() { return absl::Now() + kPatience; }

  const std::filesystem::path root_;
  RunConfig config_ = SmallConfig();
  EnvironmentSpec environment_;
  FakeTable table_;
  FakeStore store_;
  std::unique_ptr<Metrics> registry_ = MakeLocalMetrics();
  ModelTrainerMetrics metrics_{*registry_};
  const ServiceCheckpoints checkpoints_{root_.string(), 2, metrics_.checkpoints};
};

TEST_F(TrainerLoopTest, TrainsWhenDueAndPublishes) {
  const auto loop = MakeLoop();
  table_.Insert(90);
  table_.AwaitRead();
  EXPECT_EQ(store_.size(), 0);
  EXPECT_THAT(loop->Status().detail, HasSubstr("90 of 100"));
  table_.Insert(10);
  const FakeStore::Entry first = store_.AwaitEntry(1);
  EXPECT_EQ(first.metadata.lineage().learner_step(), 1);
  EXPECT_EQ(first.metadata.lineage().environment_rows(), 100);
  ASSERT_OK_AND_ASSIGN(const TensorFile tensors, DecodeSafetensors(first.payload));
  EXPECT_EQ(tensors.tensors.count("ensemble.1.weight"), 1);
  table_.AwaitRead();
  table_.Insert(170);  // behind by three multiples: one training on the newest
  const FakeStore::Entry second = store_.AwaitEntry(2);
  EXPECT_EQ(second.metadata.lineage().environment_rows(), 270);
  EXPECT_EQ(second.metadata.lineage().parent_version(), 1);
  table_.AwaitRead();
  const ComponentStatus status = loop->Status();
  EXPECT_EQ(status.state, ComponentState::kRunning);
  EXPECT_EQ(status.figures.at("rows"), 270);
  EXPECT_EQ(status.figures.at("trainings"), 2);
  EXPECT_EQ(status.figures.at("dynamics_version"), 2);
  EXPECT_GT(status.figures.at("holdout_error"), 0);
  ASSERT_OK(loop->Drain(Soon()));
  EXPECT_EQ(store_.size(), 2);
}

TEST_F(TrainerLoopTest, PublishesLaterWhatTheStoreCouldNotTake) {
  store_.set_away(true);
  const auto loop = MakeLoop();
  table_.Insert(100);
  store_.AwaitAttempts(1);
  table_.AwaitRead();
  EXPECT_THAT(loop->Status().detail, HasSubstr("store is away"));
  EXPECT_GE(metrics_.publish_failures.Value(), 1);
  store_.set_away(false);
  EXPECT_EQ(store_.AwaitEntry(1).metadata.lineage().learner_step(), 1);
  ASSERT_OK(loop->Drain(Soon()));
}

TEST_F(TrainerLoopTest, ContinuesFromACheckpoint) {
  table_.Insert(100);
  {
    const auto loop = MakeLoop();
    store_.AwaitEntry(1);
    store_.set_away(true);
    table_.Insert(50);
    store_.AwaitAttempts(2);
    EXPECT_THAT(loop->Drain(absl::Now()),
                StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("published")));
  }
  store_.set_away(false);
  const auto loop = MakeLoop();
  // What had not reached the store follows; nothing is trained twice.
  const FakeStore::Entry entry = store_.AwaitEntry(2);
  EXPECT_EQ(entry.metadata.lineage().learner_step(), 2);
  EXPECT_EQ(entry.metadata.lineage().environment_rows(), 150);
  table_.AwaitRead();
  EXPECT_EQ(loop->Status().figures.at("trainings"), 2);
  table_.Insert(50);
  EXPECT_EQ(store_.AwaitEntry(3).metadata.lineage().learner_step(), 3);
  ASSERT_OK(loop->Drain(Soon()));
  EXPECT_EQ(store_.size(), 3);
}

TEST_F(TrainerLoopTest, FallsBackFromADamagedCheckpoint) {
  table_.Insert(100);
  {
    const auto loop = MakeLoop();
    store_.AwaitEntry(1);
    ASSERT_OK_AND_ASSIGN(const std::string first, loop->Checkpoint());
    table_.Insert(50);
    store_.AwaitEntry(2);
    ASSERT_OK_AND_ASSIGN(const std::string second, loop->Checkpoint());
    EXPECT_NE(first, second);
    ASSERT_OK(loop->Drain(Soon()));
    ASSERT_OK_AND_ASSIGN(std::string bytes, ReadFile(std::filesystem::path(second) / "model_trainer.state"));
    bytes[bytes.size() / 2] ^= 1;
    ASSERT_OK(WriteFileAtomically(std::filesystem::path(second) / "model_trainer.state", bytes));
  }
  const auto loop = MakeLoop();
  EXPECT_EQ(store_.AwaitEntry(3).metadata.lineage().learner_step(), 2);  // trained again
  EXPECT_EQ(metrics_.checkpoints.damaged.Value(), 1);
  ASSERT_OK(loop->Drain(Soon()));
}

TEST_F(TrainerLoopTest, DrainEndsATrainingThatIsUnderWay) {
  config_.mutable_model()->set_max_passes(0);
  config_.mutable_model()->set_patience(1000000000);
  const auto loop = MakeLoop();
  table_.Insert(100);
  const absl::Time give_up = Soon();
  while (!absl::StrContains(loop->Status().detail, "trains on") && absl::Now() < give_up) {
    std::this_thread::yield();
  }
  EXPECT_THAT(loop->Status().detail, HasSubstr("trains on 100 rows"));
  ASSERT_OK(loop->Drain(Soon()));
  EXPECT_LT(absl::Now(), give_up);
  EXPECT_EQ(store_.size(), 0);
  EXPECT_EQ(metrics_.checkpoints.written.Value(), 1);
}

TEST_F(TrainerLoopTest, IsUnhealthyAfterTrainingsThatAreNotFinite) {
  config_.mutable_model()->set_max_non_finite(2);
  const auto loop = MakeLoop();
  table_.Insert(100);
  store_.AwaitEntry(1);
  table_.AwaitRead();
  table_.Insert(50, /*bad=*/true);
  table_.AwaitRead();
  EXPECT_EQ(metrics_.non_finite.Value(), 1);
  EXPECT_EQ(loop->Status().state, ComponentState::kRunning);
  table_.Insert(50);
  table_.AwaitRead();
  EXPECT_EQ(loop->Status().state, ComponentState::kUnhealthy);
  EXPECT_THAT(loop->Status().detail, HasSubstr("2 trainings in a row"));
  ASSERT_OK(loop->Drain(Soon()));
  EXPECT_EQ(store_.size(), 1);
}

TEST_F(TrainerLoopTest, DoesNothingWhilePausedButWritesCheckpoints) {
  const auto loop = MakeLoop();
  table_.Insert(90);
  table_.AwaitRead();
  loop->Pause();
  EXPECT_EQ(loop->Status().state, ComponentState::kPaused);
  ASSERT_OK(loop->Checkpoint());  // answered by the paused thread
  table_.Insert(60);
  ASSERT_OK(loop->Checkpoint());
  loop->Resume();
  EXPECT_EQ(store_.AwaitEntry(1).metadata.lineage().environment_rows(), 150);
  ASSERT_OK(loop->Drain(Soon()));
  EXPECT_THAT(loop->Checkpoint(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("ended")));
}

}  // namespace
}  // namespace demorl
