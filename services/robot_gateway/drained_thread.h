#pragma once

#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace demorl {

// A thread that works until it is told to end, and then may finish what it has until a deadline. Whatever it
// works on must outlive the drain. Thread-safe.
class DrainedThread {
 public:
  // `work` runs on the thread, called `name` (at most 15 characters), and asks the methods below when to end;
  // what it returns is the drain's outcome.
  DrainedThread(std::string name, std::function<absl::Status()> work)
      : name_(std::move(name)), work_(std::move(work)) {}
  ~DrainedThread() { Drain(absl::Now()).IgnoreError(); }

  DrainedThread(const DrainedThread&) = delete;
  DrainedThread& operator=(const DrainedThread&) = delete;

  void Start();

  // Asks the work to end by `deadline` (of several the earliest) and waits until it has. OK if it never
  // started. Idempotent.
  absl::Status Drain(absl::Time deadline);

  // For the work.
  bool stop_requested() const;
  // Infinitely far away before the drain.
  absl::Time deadline() const;
  // Whether the deadline has passed.
  bool MustEnd() const;
  // Blocks until the work is asked to end (true) or the time is over (false).
  bool WaitForStop(absl::Duration timeout) const;
  // Blocks for `duration`, but no longer than until the deadline.
  void Rest(absl::Duration duration) const;

 private:
  void Run();

  const std::string name_;
  const std::function<absl::Status()> work_;
  mutable absl::Mutex mutex_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time deadline_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
  absl::Status outcome_ ABSL_GUARDED_BY(mutex_);
  absl::Mutex join_mutex_;
  std::thread thread_ ABSL_GUARDED_BY(join_mutex_);
};

}  // namespace demorl
