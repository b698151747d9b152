#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "common/concurrency/stop_token.h"
#include "common/rpc/service_component.h"
#include "common/tracing/trace_log.h"
#include "demorl/config/v1/run.pb.h"
#include "services/mpc_rollout/mpc_rollout_metrics.h"
#include "services/mpc_rollout/planner_setup.h"
#include "services/mpc_rollout/snapshot_feed.h"
#include "services/replay/replay_client.h"

namespace demorl {

// The thread that fills D_MPC: does its share of the `rounds_per_model` planning rounds that every new
// dynamics version calls for, from start states drawn from D_ENV. Thread-safe; borrows the feed and the
// metrics.
class RolloutWorker {
 public:
  struct Parts {
    demorl::config::v1::RunConfig config;
    // Unique among the planners of the run.
    std::string planner_id;
    // Grows with each start; epoch of the writer and part of the seed.
    uint64_t start_count = 1;
    // Asked again while UNAVAILABLE.
    std::function<absl::StatusOr<PlanningEnvironment>()> find_environment;
    // See WarmUp.
    std::function<absl::StatusOr<bool>(demorl::snapshot::v1::SnapshotKind)> is_published;
    // Of D_MPC, 0 while it has no rows; part of the seed.
    std::function<absl::StatusOr<uint64_t>()> latest_planning_round;
    std::function<absl::StatusOr<RoundShare>(const RoundClaim&)> claim_round;
    std::function<std::unique_ptr<BatchSampler>(const BatchSamplerOptions&)> open_sampler;
    std::function<std::unique_ptr<ReplayWriter>(const ReplayWriterOptions&)> open_writer;
    SnapshotFeed* feed = nullptr;
    MpcRolloutMetrics* metrics = nullptr;
    // May be null.
    TraceLog* trace_log = nullptr;
  };

  explicit RolloutWorker(Parts parts);
  ~RolloutWorker();

  void Start();
  void SetPaused(bool paused);
  ComponentStatus Status() const;

  // Gives the running round up, makes what was appended durable and joins. DEADLINE_EXCEEDED if rows were
  // left behind. Idempotent.
  absl::Status Stop(absl::Time deadline);

 private:
  struct Figures {
    int64_t rounds = 0;
    int64_t rows = 0;
    int64_t skipped_starts = 0;
    int horizon_steps = 0;
    double base_return = 0;
    double plan_return = 0;
    double round_seconds = 0;
    uint64_t dynamics_version = 0;
    uint64_t planning_round = 0;
  };

  void Run();
  absl::Status Prepare();
  absl::Status PrepareTable();
  // Waits for work and does it; an error ends the worker.
  absl::Status Serve();
  // Does what falls to this planner until nothing is due any more.
  absl::Status RunShares();
  absl::StatusOr<RoundShare> ClaimShare();
  absl::Status RunShare(const RoundShare& share);
  absl::Status Append(TransitionChunk rows);
  // The round's rows go on with one of the traces that led to it.
  void TraceRound(const SampledBatch& starts, absl::Duration duration, TransitionChunk* rows);
  void FinishWriting();
  absl::StatusOr<SampledBatch> DrawStartStates(int64_t count);
  template <typename T>
  absl::StatusOr<T> AskUntilThere(const std::function<absl::StatusOr<T>()>& ask);

  void Record(const PlanningReport& report, absl::Duration duration);
  void RecordFailure(const absl::Status& status);
  void SetDetail(ComponentState state, const std::string& detail);
  bool WaitUntilRunning();
  bool CanGoOn() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || !paused_; }

  const Parts parts_;
  SnapshotFeed& feed_;
  MpcRolloutMetrics& metrics_;
  StopSource stop_;

  // Of the worker's thread.
  PlanningEnvironment environment_;
  std::unique_ptr<RolloutPlanner> planner_;
  OfferedVersions offered_;
  // Nothing more was due for this version when it was last asked.
  uint64_t planned_version_ = 0;
  // Whether what was claimed last has been done; an earlier process of this name may have left some.
  bool share_finished_ = false;
  // Of the share before; generous while there is none.
  absl::Duration share_time_ = absl::Minutes(2);
  int failures_in_a_row_ = 0;
  // Of dynamics that no round has used yet.
  std::vector<TraceContext> dynamics_traces_;

  mutable absl::Mutex mutex_;
  bool paused_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  ComponentState state_ ABSL_GUARDED_BY(mutex_) = ComponentState::kStarting;
  std::string detail_ ABSL_GUARDED_BY(mutex_) = "starting";
  Figures figures_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<ReplayWriter> writer_
      ABSL_GUARDED_BY(mutex_);  // the pointer; its owner thread is the worker's
  std::unique_ptr<BatchSampler> sampler_ ABSL_GUARDED_BY(mutex_);
  absl::Time drain_deadline_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  absl::Status flushed_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace demorl
