#include "services/robot_gateway/applied_traces.h"

#include "absl/time/clock.h"
#include "common/base/clock.h"

namespace demorl {

void AppliedTraces::Offered(uint64_t version, const std::vector<TraceContext>& traces, absl::Time start) {
  if (log_ == nullptr || traces.empty()) {
    return;
  }
  absl::MutexLock lock(&mutex_);
  if (traces_.empty()) {
    start_ = start;
  }
  // A policy that no tick has used is replaced by one that has learned from the same and more.
  KeepTraces(traces, &traces_);
  version_ = version;
  waiting_.store(true, std::memory_order_release);
}

void AppliedTraces::End(const TickRecord& record) {
  absl::MutexLock lock(&mutex_);
  if (record.policy_version < version_ || traces_.empty()) {
    return;
  }
  AddChildSpans(log_, traces_,
                {.name = "apply",
                 .start = start_,
                 .end = WallTime(record.finished_ns),
                 .attributes = {{"policy_version", static_cast<int64_t>(record.policy_version)},
                                {"tick", static_cast<int64_t>(record.index)}}});
  traces_.clear();
  waiting_.store(false, std::memory_order_release);
}

absl::Time WallTime(int64_t clock_ns) {
  return absl::Now() - (RealClock::Get().Now() - absl::Nanoseconds(clock_ns));
}

}  // namespace demorl
