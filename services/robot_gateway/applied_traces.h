#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/robot/recording/tick_record.h"
#include "common/tracing/trace_log.h"

namespace demorl {

// Ends the traces that come with a policy at the first tick that acts by it. Knows the control loop by its
// records only. Thread-safe.
class AppliedTraces {
 public:
  // `log` may be null.
  explicit AppliedTraces(TraceLog* log) : log_(log) {}

  // Before the control loop can have the policy; `start` is when its adoption began.
  void Offered(uint64_t version, const std::vector<TraceContext>& traces, absl::Time start);

  void OnTick(const TickRecord& record) {
    if (waiting_.load(std::memory_order_acquire) && record.source == ActionSource::kPolicy) {
      End(record);
    }
  }

 private:
  void End(const TickRecord& record);

  TraceLog* const log_;
  std::atomic<bool> waiting_ = false;
  absl::Mutex mutex_;
  std::vector<TraceContext> traces_ ABSL_GUARDED_BY(mutex_);
  uint64_t version_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Time start_ ABSL_GUARDED_BY(mutex_);
};

// A tick's time as the wall clock has it.
absl::Time WallTime(int64_t clock_ns);

}  // namespace demorl
