#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/checkpoint_store.h"
#include "common/rpc/service_component.h"
#include "common/tensor/environment_spec.h"
#include "demorl/config/v1/run.pb.h"
#include "demorl/snapshot/v1/snapshot_service.pb.h"
#include "services/model_trainer/core/model_trainer.h"
#include "services/model_trainer/model_trainer_metrics.h"
#include "services/replay/replay_client.h"

namespace demorl {

// Where training stands, beside the trainer's own state.
struct TrainingProgress {
  // Rows of D_ENV when the last training began.
  int64_t last_trained_rows = 0;
  // Trainings whose result is published.
  int64_t published_trainings = 0;
  uint64_t dynamics_version = 0;
};

// A trainer that is ready, and where it stands.
struct PreparedTrainer {
  std::unique_ptr<ModelTrainer> trainer;
  EnvironmentSpec environment;
  TrainingProgress progress;
};

// Makes the trainer for an environment and continues from the newest good checkpoint, if there is one.
// INVALID_ARGUMENT for a checkpoint of other shapes, DATA_LOSS if all are damaged. `checkpoints` may be null.
absl::StatusOr<PreparedTrainer> PrepareTrainer(const demorl::config::v1::RunConfig& config,
                                               const EnvironmentSpec& environment, bool learn_termination,
                                               std::function<bool()> should_stop,
                                               const CheckpointStore* checkpoints,
                                               ModelTrainerMetrics* metrics);

// The training thread: mirrors D_ENV, trains when due, publishes the result and writes a checkpoint.
// Thread-safe.
class TrainerLoop {
 public:
  struct Parts {
    demorl::config::v1::RunConfig config;
    // Called by the thread until it no longer answers UNAVAILABLE or NOT_FOUND: the environment's sizes may
    // have to come from replay, where the first actor tells them.
    std::function<absl::StatusOr<PreparedTrainer>(std::function<bool()> should_stop)> prepare;
    std::function<std::unique_ptr<TableTail>(uint64_t position)> open_tail;
    // Rows that D_ENV has taken in.
    std::function<absl::StatusOr<int64_t>()> rows_inserted;
    std::function<absl::StatusOr<uint64_t>(demorl::snapshot::v1::SnapshotMetadata metadata,
                                           const std::string& payload, absl::Time deadline)>
        publish;
    // What all snapshots share.
    std::function<demorl::snapshot::v1::SnapshotMetadata(const EnvironmentSpec& environment)> make_metadata;
    // May be null: no checkpoints.
    std::unique_ptr<CheckpointStore> checkpoints;
    ModelTrainerMetrics* metrics = nullptr;
  };

  explicit TrainerLoop(Parts parts);
  ~TrainerLoop();

  TrainerLoop(const TrainerLoop&) = delete;
  TrainerLoop& operator=(const TrainerLoop&) = delete;

  void Start();
  // Between two trainings; rows stay in replay meanwhile.
  void Pause();
  void Resume();

  // Written by the training thread, after a training that is under way. FAILED_PRECONDITION before the
  // trainer is ready. The folder; empty without a store.
  absl::StatusOr<std::string> Checkpoint();

  // Gives up a training that is under way, publishes what is not published yet and writes a last checkpoint.
  // Idempotent.
  absl::Status Drain(absl::Time deadline);

  ComponentStatus Status() const;

 private:
  void Run();
  absl::Status Prepare();
  absl::Status Work();
  bool WaitUntilWorking();
  // Mirrors the rows that arrive until `deadline`; false if none did.
  absl::StatusOr<bool> TakeRows(absl::Time deadline);
  // Mirrors what D_ENV holds at this moment, within a limit of time.
  absl::Status CatchUp();
  absl::Status TrainOnce();
  absl::Status AfterTraining(const TrainingReport& report, absl::Duration duration);
  // Publishes the newest training unless that is done; false if it is left for later.
  bool PublishIfNeeded(absl::Time deadline);
  void AnswerCheckpointRequest();
  absl::StatusOr<std::string> WriteCheckpoint();
  void Describe(ComponentState state, std::string detail);
  void DescribeWaiting();
  void WaitForRetry();

  Parts parts_;
  // Read by the trainer between batches.
  std::atomic<bool> stop_training_ = false;

  // Owned by the thread.
  PreparedTrainer trainee_;
  std::unique_ptr<TableTail> tail_;
  int64_t environment_rows_ = 0;
  int64_t last_attempt_rows_ = 0;
  absl::Time next_publish_ = absl::InfinitePast();

  mutable absl::Mutex mutex_;
  bool started_ ABSL_GUARDED_BY(mutex_) = false;
  bool paused_ ABSL_GUARDED_BY(mutex_) = false;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  bool ready_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time drain_deadline_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  absl::Status end_status_ ABSL_GUARDED_BY(mutex_);
  // Requests made and answered; the last answer.
  int64_t checkpoints_asked_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t checkpoints_answered_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::StatusOr<std::string> checkpoint_answer_ ABSL_GUARDED_BY(mutex_) = std::string();
  ComponentStatus status_ ABSL_GUARDED_BY(mutex_);
  std::string publish_failure_ ABSL_GUARDED_BY(mutex_);
  absl::Mutex join_mutex_;
  std::thread thread_ ABSL_GUARDED_BY(join_mutex_);
};

}  // namespace demorl
