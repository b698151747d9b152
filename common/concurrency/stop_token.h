#pragma once

#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace demorl {

namespace internal {

struct StopState {
  absl::Mutex mutex;
  bool stopped ABSL_GUARDED_BY(mutex) = false;
};

}  // namespace internal

// Tells a thread to stop, and is what it waits on instead of sleeping. Copies share one state. Thread-safe.
class StopToken {
 public:
  // Never stopped.
  StopToken() : state_(std::make_shared<internal::StopState>()) {}

  bool stop_requested() const {
    absl::MutexLock lock(&state_->mutex);
    return state_->stopped;
  }

  // Blocks until a stop is requested (true) or the deadline has passed (false).
  bool WaitUntil(absl::Time deadline) const {
    absl::MutexLock lock(&state_->mutex);
    return state_->mutex.AwaitWithDeadline(absl::Condition(&state_->stopped), deadline);
  }

  bool WaitFor(absl::Duration timeout) const { return WaitUntil(absl::Now() + timeout); }

 private:
  friend class StopSource;
  explicit StopToken(std::shared_ptr<internal::StopState> state) : state_(std::move(state)) {}

  std::shared_ptr<internal::StopState> state_;
};

// The side that requests the stop. Thread-safe.
class StopSource {
 public:
  StopSource() : state_(std::make_shared<internal::StopState>()) {}

  // Idempotent; wakes every waiter.
  void RequestStop() {
    absl::MutexLock lock(&state_->mutex);
    state_->stopped = true;
  }

  bool stop_requested() const { return token().stop_requested(); }
  StopToken token() const { return StopToken(state_); }

 private:
  std::shared_ptr<internal::StopState> state_;
};

}  // namespace demorl
