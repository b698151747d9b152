#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/rpc/service_checkpoints.h"
#include "common/rpc/worker_loop.h"
#include "common/tensor/environment_spec.h"
#include "common/tracing/trace_log.h"
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
// INVALID_ARGUMENT for a checkpoint of other shapes, DATA_LOSS if all are damaged.
absl::StatusOr<PreparedTrainer> PrepareTrainer(const demorl::config::v1::RunConfig& config,
                                               const EnvironmentSpec& environment, bool learn_termination,
                                               std::function<bool()> should_stop,
                                               const ServiceCheckpoints& checkpoints);

// The training thread: mirrors D_ENV, trains when due, publishes the result and writes a checkpoint. A pause
// comes between two trainings; rows stay in replay meanwhile. A checkpoint is written after a training that
// is under way; a drain gives that training up, publishes what is not published yet and writes a last
// checkpoint.
class TrainerLoop final : public WorkerLoop {
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
    const ServiceCheckpoints* checkpoints = nullptr;
    ModelTrainerMetrics* metrics = nullptr;
    // May be null.
    TraceLog* trace_log = nullptr;
  };

  explicit TrainerLoop(Parts parts);
  ~TrainerLoop() override;

 private:
  absl::Status Prepare() override;
  absl::Status Work() override;
  void CloseInput() override;
  absl::Status Finish() override;
  absl::StatusOr<std::string> WriteCheckpoint() override;
  void AddToStatus(ComponentStatus* status) const override;

  // Mirrors the rows that arrive until `deadline`; false if none did.
  absl::StatusOr<bool> TakeRows(absl::Time deadline);
  // Mirrors what D_ENV holds at this moment, within a limit of time.
  absl::Status CatchUp();
  absl::Status TrainOnce();
  absl::Status AfterTraining(const TrainingReport& report, absl::Duration duration);
  void TraceTraining(const TrainingReport& report, absl::Duration duration);
  // Publishes the newest training unless that is done; false if it is left for later.
  bool PublishIfNeeded(absl::Time deadline);
  absl::StatusOr<uint64_t> Publish(absl::Time deadline);
  void DescribeWaiting();

  Parts parts_;

  // Owned by the thread.
  PreparedTrainer trainee_;
  std::unique_ptr<TableTail> tail_;
  int64_t environment_rows_ = 0;
  int64_t last_attempt_rows_ = 0;
  absl::Time next_publish_ = absl::InfinitePast();
  // Of rows not trained on yet, and of trainings not published yet.
  std::vector<TraceContext> row_traces_;
  std::vector<TraceContext> training_traces_;

  std::string publish_failure_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace demorl
