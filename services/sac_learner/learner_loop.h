#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
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
#include "services/replay/replay_client.h"
#include "services/sac_learner/core/sac_learner.h"
#include "services/sac_learner/sac_learner_metrics.h"
#include "services/sac_learner/snapshot_publisher.h"

namespace demorl {

// A learner that is ready to train, and where it stands.
struct PreparedLearner {
  std::unique_ptr<SacLearner> learner;
  EnvironmentSpec environment;
  int64_t environment_rows = 0;
};

// Makes the learner for an environment and continues from the newest good checkpoint, if there is one.
// INVALID_ARGUMENT for a checkpoint of other shapes, DATA_LOSS if all are damaged. `checkpoints` may be null.
absl::StatusOr<PreparedLearner> PrepareLearner(const demorl::config::v1::RunConfig& config,
                                               const EnvironmentSpec& environment,
                                               const CheckpointStore* checkpoints,
                                               SacLearnerMetrics* metrics);

// The training thread: batch, update, and at their intervals a published snapshot and a checkpoint.
// Thread-safe.
class LearnerLoop {
 public:
  struct Parts {
    demorl::config::v1::RunConfig config;
    // Called by the thread until it no longer answers UNAVAILABLE or NOT_FOUND: the environment's sizes may
    // have to come from replay, where the first actor tells them.
    std::function<absl::StatusOr<PreparedLearner>()> prepare;
    std::function<std::unique_ptr<BatchSampler>(const BatchSamplerOptions& options)> open_sampler;
    std::function<std::unique_ptr<SnapshotPublisher>(const EnvironmentSpec& environment)> make_publisher;
    // May be null: no checkpoints.
    std::unique_ptr<CheckpointStore> checkpoints;
    SacLearnerMetrics* metrics = nullptr;
  };

  explicit LearnerLoop(Parts parts);
  ~LearnerLoop();

  LearnerLoop(const LearnerLoop&) = delete;
  LearnerLoop& operator=(const LearnerLoop&) = delete;

  void Start();
  void Pause();
  void Resume();

  // Written by the training thread between two updates. FAILED_PRECONDITION before the learner is ready. The
  // folder; empty without a store.
  absl::StatusOr<std::string> Checkpoint();

  // Ends training after the current update, writes a last checkpoint and publishes the last policy.
  // Idempotent.
  absl::Status Drain(absl::Time deadline);

  ComponentStatus Status() const;

 private:
  void Run();
  absl::Status Prepare();
  absl::Status Train();
  absl::StatusOr<SampledBatch> NextBatch();
  absl::Status UpdateOnce(const SampledBatch& sampled);
  void Offer();
  void AnswerCheckpointRequest();
  absl::StatusOr<std::string> WriteCheckpoint();
  void AdaptShares(int64_t environment_rows);
  void Report(const SacMetrics& metrics, absl::Duration duration);
  void Describe(ComponentState state, std::string detail);
  // True when the thread may train; serves checkpoint requests while paused. False to end.
  bool WaitUntilTraining();
  bool StopRequested() const;

  Parts parts_;

  // Owned by the thread.
  PreparedLearner trainee_;
  std::unique_ptr<BatchSampler> sampler_;
  std::vector<TableShare> shares_;
  int64_t skipped_reported_ = 0;
  int64_t window_updates_ = 0;
  absl::Duration window_start_;

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
  // Set once by the thread.
  std::shared_ptr<SnapshotPublisher> publisher_ ABSL_GUARDED_BY(mutex_);
  absl::Mutex join_mutex_;
  std::thread thread_ ABSL_GUARDED_BY(join_mutex_);
};

}  // namespace demorl
