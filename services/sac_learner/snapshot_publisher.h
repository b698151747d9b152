#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/policy/safetensors.h"
#include "common/tracing/trace_log.h"
#include "demorl/snapshot/v1/snapshot_service.pb.h"
#include "services/sac_learner/sac_learner_metrics.h"

namespace demorl {

// Policy and value of one moment of training.
struct SnapshotPair {
  TensorFile policy;
  TensorFile value;
  int64_t learner_step = 0;
  int64_t environment_rows = 0;
  uint64_t dynamics_version = 0;
  // Of what it is the first to have learned from.
  std::vector<TraceContext> traces;
};

// Publishes snapshots on a thread of its own, so that a slow or absent store never holds up training: one
// slot, the newest pair wins. Thread-safe.
class SnapshotPublisher {
 public:
  using PublishFunction = std::function<absl::StatusOr<uint64_t>(
      demorl::snapshot::v1::SnapshotMetadata metadata, const std::string& payload, absl::Time deadline)>;

  // `base` holds what both kinds share: sizes, schema hash, config hash. `trace_log` may be null. Starts the
  // thread.
  SnapshotPublisher(PublishFunction publish, demorl::snapshot::v1::SnapshotMetadata base,
                    SacLearnerMetrics* metrics, TraceLog* trace_log = nullptr);
  ~SnapshotPublisher();

  SnapshotPublisher(const SnapshotPublisher&) = delete;
  SnapshotPublisher& operator=(const SnapshotPublisher&) = delete;

  // Never blocks.
  void Offer(SnapshotPair pair);

  // Waits until what was offered is published; nothing is sent after it. DEADLINE_EXCEEDED if something was
  // left.
  absl::Status Drain(absl::Time deadline);

  uint64_t policy_version() const;
  // The last failure, OK after a success.
  absl::Status last_status() const;

 private:
  void Run();
  absl::Status PublishPair(const SnapshotPair& pair, absl::Time deadline);
  absl::StatusOr<uint64_t> PublishPolicy(const SnapshotPair& pair, uint64_t parent, absl::Time deadline);
  absl::StatusOr<uint64_t> PublishOne(demorl::snapshot::v1::SnapshotMetadata metadata,
                                      const SnapshotPair& pair, const TensorFile& file, absl::Time deadline);

  const PublishFunction publish_;
  const demorl::snapshot::v1::SnapshotMetadata base_;
  SacLearnerMetrics* const metrics_;
  TraceLog* const trace_log_;
  mutable absl::Mutex mutex_;
  std::optional<SnapshotPair> slot_ ABSL_GUARDED_BY(mutex_);
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time give_up_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  uint64_t policy_version_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t value_version_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status last_status_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace demorl
