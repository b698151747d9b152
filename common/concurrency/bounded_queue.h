#pragma once

#include <cstddef>
#include <deque>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/check.h"

namespace demorl {

// First in, first out, between any number of producers and consumers. After Close nothing more goes in, and
// what is inside still comes out. Thread-safe.
template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) { DEMORL_CHECK(capacity > 0); }

  // Blocks while the queue is full. CANCELLED once closed, DEADLINE_EXCEEDED.
  absl::Status Push(T value, absl::Time deadline = absl::InfiniteFuture()) {
    absl::MutexLock lock(&mutex_);
    const bool ready = mutex_.AwaitWithDeadline(absl::Condition(this, &BoundedQueue::CanPush), deadline);
    if (closed_) {
      return absl::CancelledError("queue is closed");
    }
    if (!ready) {
      return absl::DeadlineExceededError("queue stayed full");
    }
    items_.push_back(std::move(value));
    return absl::OkStatus();
  }

  // Without blocking; false, and `value` untouched, when full or closed.
  bool TryPush(T& value) {
    absl::MutexLock lock(&mutex_);
    if (closed_ || items_.size() >= capacity_) {
      return false;
    }
    items_.push_back(std::move(value));
    return true;
  }

  // Blocks while the queue is empty. CANCELLED once closed and empty, DEADLINE_EXCEEDED.
  absl::StatusOr<T> Pop(absl::Time deadline = absl::InfiniteFuture()) {
    absl::MutexLock lock(&mutex_);
    const bool ready = mutex_.AwaitWithDeadline(absl::Condition(this, &BoundedQueue::CanPop), deadline);
    if (!items_.empty()) {
      T value = std::move(items_.front());
      items_.pop_front();
      return value;
    }
    return ready ? absl::CancelledError("queue is closed")
                 : absl::DeadlineExceededError("queue stayed empty");
  }

  // Idempotent; wakes every waiter.
  void Close() {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
  }

  size_t size() const {
    absl::MutexLock lock(&mutex_);
    return items_.size();
  }

 private:
  bool CanPush() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return closed_ || items_.size() < capacity_; }
  bool CanPop() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return closed_ || !items_.empty(); }

  const size_t capacity_;
  mutable absl::Mutex mutex_;
  std::deque<T> items_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace demorl
