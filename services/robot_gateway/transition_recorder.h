#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/record_spool.h"
#include "common/robot/realtime/spsc_ring.h"
#include "common/robot/recording/segment_builder.h"
#include "common/robot/recording/tick_log.h"
#include "common/robot/recording/tick_record.h"
#include "common/tracing/trace_log.h"
#include "services/robot_gateway/drained_thread.h"

namespace demorl {

// Takes a control loop's ticks from its ring, in a thread of its own: each goes to the log of ticks, and what
// is learned from them to the spool, as serialised TransitionChunks. The loop never waits for it; whatever
// the disk does, it goes on taking ticks. Thread-safe.
class TransitionRecorder {
 public:
  struct Options {
    SegmentBuilder::Options segments;
    // How often the ring is looked at; the ring must hold many times the ticks of that.
    absl::Duration interval = absl::Milliseconds(2);
    // Rows wait at most this long for their segment to fill up.
    absl::Duration max_row_age = absl::Milliseconds(200);
    // Chunks kept in memory while the spool refuses them, a full disk say; then the oldest are dropped.
    int64_t max_waiting_bytes = int64_t{16} << 20;
    absl::Duration retry_interval = absl::Milliseconds(200);
  };
  // Borrows them. `log` may be null.
  struct Parts {
    SpscRing<TickRecord>* ticks = nullptr;
    TickLog* log = nullptr;
    RecordSpool* spool = nullptr;
    // Also sees each tick, on the recorder's thread; may be empty.
    std::function<void(const TickRecord&)> observe;
    // May be null.
    TraceLog* trace_log = nullptr;
  };
  struct Figures {
    int64_t ticks = 0;
    SegmentBuilder::Counts segments;
    int64_t rows_spooled = 0;
    // Rows that are kept in memory because the spool refuses them, and those given up.
    int64_t rows_waiting = 0;
    int64_t rows_dropped = 0;
    // Ticks that the log did not take.
    int64_t log_errors = 0;
    // The spool's last refusal, as long as it lasts.
    absl::Status spool_status;
  };

  TransitionRecorder(const Options& options, Parts parts);
  TransitionRecorder(const TransitionRecorder&) = delete;
  TransitionRecorder& operator=(const TransitionRecorder&) = delete;

  void Start() { thread_.Start(); }

  // Takes what is in the ring, truncates the running episode, spools all that, and ends the thread. After the
  // control loop has ended. Idempotent. RESOURCE_EXHAUSTED or another reason if the spool did not take
  // everything by the deadline.
  absl::Status Drain(absl::Time deadline) { return thread_.Drain(deadline); }

  Figures figures() const;

 private:
  struct Waiting {
    std::string payload;
    int64_t rows = 0;
  };

  absl::Status Run();
  absl::Status DrainWaiting();
  // False if the ring was empty.
  bool TakeTicks();
  void TakeTick(const TickRecord& record);
  void CloseOldSegment(absl::Time now);
  void CollectChunks();
  void AddChunk(TransitionChunk chunk);
  void BeginTrace(TransitionChunk* chunk);
  // Whether nothing is left.
  bool SpoolWaiting();
  void Publish();

  const Options options_;
  const Parts parts_;

  // Of the thread.
  SegmentBuilder builder_;
  std::deque<Waiting> waiting_;
  int64_t waiting_bytes_ = 0;
  absl::Time retry_at_ = absl::InfinitePast();
  absl::Time row_waits_since_ = absl::InfiniteFuture();
  Figures current_;
  TickRecord newest_;
  // Schedule of the first tick of the rows that are in no chunk yet; 0 without any.
  int64_t chunk_start_ns_ = 0;

  mutable absl::Mutex mutex_;
  Figures figures_ ABSL_GUARDED_BY(mutex_);
  DrainedThread thread_;  // the last: it ends before the rest
};

}  // namespace demorl
