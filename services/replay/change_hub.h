#pragma once

#include <map>
#include <memory>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace demorl {

// A stream that waits for the core.
class ChangeWaiter {
 public:
  virtual ~ChangeWaiter() = default;
  // Something changed since the last call: try again. Never blocks. True to be called again soon even if
  // nothing changes.
  virtual bool OnChange() = 0;
};

// Wakes the streams after changes of the core, on one thread of its own, so that whoever makes a change never
// runs another stream's work. Changes that come while it is busy are one, and between two rounds it rests the
// longer the more streams there are: many streams must not keep it busy all the time. Thread-safe.
class ChangeHub {
 public:
  ChangeHub();
  ~ChangeHub();

  // The waiter is called once soon after, so that no change is missed between a failed try and this call.
  void Add(const std::shared_ptr<ChangeWaiter>& waiter);
  void Remove(ChangeWaiter* waiter);

  // Cheap; callable with any lock held but the waiters' own users'.
  void Signal();

  // Tells the streams to finish; see ended().
  void EndStreams();
  bool ended() const;

  // Streams that are open.
  int size() const;

 private:
  void Run();
  bool ShouldWake() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || (changed_ && !waiters_.empty());
  }

  mutable absl::Mutex mutex_;
  std::map<ChangeWaiter*, std::weak_ptr<ChangeWaiter>> waiters_ ABSL_GUARDED_BY(mutex_);
  bool changed_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace demorl
