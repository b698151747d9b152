#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/record_spool.h"
#include "common/base/spool_delivery.h"
#include "common/rpc/service_component.h"
#include "common/tracing/trace_log.h"
#include "services/actor/actor_metrics.h"
#include "services/actor/chunk_sender.h"
#include "services/actor/core/episode_collector.h"
#include "services/replay/replay_client.h"
#include "services/snapshot/snapshot_client.h"

namespace demorl {

struct CollectionOptions {
  // Collection ends once the table has taken this many rows in all.
  int64_t environment_steps = 0;
  // Uniform random actions before the table has taken this many rows.
  int64_t learning_starts = 0;
  int num_environments = 1;
  // Rows that the run-ahead limit can ever allow at once.
  int64_t max_run_ahead_steps = 1;
  // Plans act, not the policy.
  bool planned = false;
  // How long to wait for the first policy once learning has started, before acting at random on.
  absl::Duration first_policy_wait = absl::Seconds(5);
  // Refused policies, or steps with nothing but non-finite numbers, in a row that make the loop unhealthy.
  int max_failures = 10;
};

// The collecting thread of an actor: steps the collector with the newest policy inside the run-ahead limit
// and appends what happens to replay. Thread-safe.
class CollectionLoop {
 public:
  struct Parts {
    std::unique_ptr<EpisodeCollector> collector;
    std::unique_ptr<ReplayWriter> writer;
    std::unique_ptr<SnapshotWatch> policies;
    // May be null: chunks are then kept in memory only until they are durable.
    std::unique_ptr<RecordSpool> spool;
    std::unique_ptr<SpoolDelivery> delivery;
    ActorMetrics* metrics = nullptr;
    // May be null.
    TraceLog* trace_log = nullptr;
  };
  struct Policy {
    uint64_t version = 0;
    TensorFile tensors;
  };

  CollectionLoop(const CollectionOptions& options, Parts parts);
  ~CollectionLoop();

  CollectionLoop(const CollectionLoop&) = delete;
  CollectionLoop& operator=(const CollectionLoop&) = delete;

  void Start();
  void Pause();
  void Resume();

  // Cuts the running episodes (truncated), appends what is open and waits until it is durable, then ends the
  // thread. Idempotent. DEADLINE_EXCEEDED if rows were left behind.
  absl::Status Drain(absl::Time deadline);

  ComponentStatus Status() const;

  // The last good policy; null before the first.
  std::shared_ptr<const Policy> CurrentPolicy() const;

 private:
  void Run();
  // One round of the loop; an error is final.
  absl::Status Iterate();
  absl::Status Collect();
  // What is to be sent by now; now and then it begins a trace.
  TransitionChunk TakeChunk(bool flush);
  // After the first step by a policy that brought traces.
  void EndAppliedTraces();
  absl::Status WaitForAllowance(int64_t rows);
  // After a step that some planner did not plan.
  absl::Status WaitForPlanner(const absl::Status& reason);
  absl::Status CheckFinished();
  absl::Status Flush() { return sender_.Send(TakeChunk(/*flush=*/true), absl::InfiniteFuture()); }
  absl::Status SendRest();
  void AdoptPolicy();
  void AdoptFirstPolicy();
  void Report();
  void Describe(ComponentState state, std::string detail);
  int64_t OpenRows() const { return parts_.collector->num_steps() - sender_.rows_sent(); }
  // Rows of the table, those of this actor included that are still on their way.
  int64_t TableRows() const;
  bool Rest();
  bool StopRequested() const;
  // None until a stop is requested.
  std::optional<absl::Time> DrainDeadline() const;
  bool PauseRequested() const;

  const CollectionOptions options_;
  const Parts parts_;
  ChunkSender sender_;

  // Owned by the thread.
  bool connected_ = false;  // replay has answered
  int64_t rows_base_ = 0;   // the table's rows without those of this collector
  bool finished_ = false;
  bool waited_for_policy_ = false;
  uint64_t seen_version_ = 0;
  int refused_in_a_row_ = 0;
  int non_finite_in_a_row_ = 0;
  int64_t reported_steps_ = 0;
  int64_t reported_non_finite_ = 0;
  std::deque<double> last_returns_;
  // Of policies that no step has followed yet, and when the first of them was adopted.
  std::vector<TraceContext> applied_traces_;
  absl::Time adopted_;
  // When the oldest row that is not sent was collected; none: infinite.
  absl::Time chunk_start_ = absl::InfiniteFuture();

  mutable absl::Mutex mutex_;
  bool started_ ABSL_GUARDED_BY(mutex_) = false;
  bool paused_ ABSL_GUARDED_BY(mutex_) = false;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time drain_deadline_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  absl::Status end_status_ ABSL_GUARDED_BY(mutex_);
  ComponentStatus status_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const Policy> policy_ ABSL_GUARDED_BY(mutex_);
  // Start of the window over which steps per second are measured.
  absl::Duration window_start_ ABSL_GUARDED_BY(mutex_);
  int64_t window_steps_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Mutex join_mutex_;
  std::thread thread_ ABSL_GUARDED_BY(join_mutex_);
};

}  // namespace demorl
