#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
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
  // Behind the newest planned rows it was trained on; 0 for none.
  uint64_t dynamics_version = 0;
};

// Makes the learner for an environment and continues from the newest good checkpoint, if there is one.
// INVALID_ARGUMENT for a checkpoint of other shapes, DATA_LOSS if all are damaged.
absl::StatusOr<PreparedLearner> PrepareLearner(const demorl::config::v1::RunConfig& config,
                                               const EnvironmentSpec& environment,
                                               const ServiceCheckpoints& checkpoints);

// The training thread: batch, update, and at their intervals a published snapshot and a checkpoint. A drain
// ends training after the current update, writes a last checkpoint and publishes the last policy.
class LearnerLoop final : public WorkerLoop {
 public:
  struct Parts {
    demorl::config::v1::RunConfig config;
    // Called by the thread until it no longer answers UNAVAILABLE or NOT_FOUND: the environment's sizes may
    // have to come from replay, where the first actor tells them.
    std::function<absl::StatusOr<PreparedLearner>()> prepare;
    std::function<std::unique_ptr<BatchSampler>(const BatchSamplerOptions& options)> open_sampler;
    std::function<std::unique_ptr<SnapshotPublisher>(const EnvironmentSpec& environment)> make_publisher;
    const ServiceCheckpoints* checkpoints = nullptr;
    SacLearnerMetrics* metrics = nullptr;
    // May be null.
    TraceLog* trace_log = nullptr;
  };

  explicit LearnerLoop(Parts parts);
  ~LearnerLoop() override;

 private:
  absl::Status Prepare() override;
  absl::Status Work() override;
  void CloseInput() override;
  absl::Status Finish() override;
  absl::StatusOr<std::string> WriteCheckpoint() override;
  void AddToStatus(ComponentStatus* status) const override;

  absl::StatusOr<SampledBatch> NextBatch();
  absl::Status UpdateOnce(const SampledBatch& sampled);
  void KeepTrace(const SampledBatch& sampled, absl::Duration duration);
  void Offer();
  void AdaptShares(int64_t environment_rows);
  void Report(const SacMetrics& metrics, absl::Duration duration);

  Parts parts_;

  // Owned by the thread.
  PreparedLearner trainee_;
  std::unique_ptr<BatchSampler> sampler_;
  std::vector<TableShare> shares_;
  int64_t skipped_reported_ = 0;
  // Of what was learned since the last offer.
  std::vector<TraceContext> traces_;
  int64_t window_updates_ = 0;
  double updates_per_second_ = 0;  // of the last whole window
  absl::Duration window_start_;

  // Set once by the thread.
  std::shared_ptr<SnapshotPublisher> publisher_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace demorl
