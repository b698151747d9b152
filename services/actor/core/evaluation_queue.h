#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "services/actor/core/environment_factory.h"

namespace demorl {

// Runs evaluations one after another on a thread of its own, apart from training. Thread-safe.
class EvaluationQueue {
 public:
  struct Job {
    // Called on the queue's thread; may block.
    std::function<absl::StatusOr<TensorFile>()> load_policy;
    EvaluationOptions options;
    // Called exactly once for an accepted job, on the queue's thread or from Close.
    std::function<void(absl::StatusOr<EvaluationResult>)> done;
  };

  // `capacity`: jobs that may wait behind the running one.
  EvaluationQueue(EnvironmentFactory factory, int capacity);
  ~EvaluationQueue();

  EvaluationQueue(const EvaluationQueue&) = delete;
  EvaluationQueue& operator=(const EvaluationQueue&) = delete;

  // RESOURCE_EXHAUSTED when full, UNAVAILABLE after Close; the job is then dropped without a call of done.
  absl::Status Submit(Job job);

  // Waiting jobs and the running one.
  int num_in_flight() const;

  // Cancels the running job and answers waiting ones with UNAVAILABLE. Idempotent; blocks until the thread
  // has ended.
  void Close();

 private:
  void Run();

  const EnvironmentFactory factory_;
  const size_t capacity_;
  mutable absl::Mutex mutex_;
  std::deque<Job> waiting_ ABSL_GUARDED_BY(mutex_);
  bool running_ ABSL_GUARDED_BY(mutex_) = false;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Mutex join_mutex_;
  std::thread thread_ ABSL_GUARDED_BY(join_mutex_);
};

}  // namespace demorl
