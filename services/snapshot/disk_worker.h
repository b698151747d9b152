#pragma once

#include <pthread.h>

#include <cstddef>
#include <functional>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/concurrency/bounded_queue.h"

namespace demorl {

// The thread of the snapshot service that may wait for the disk. Thread-safe.
class DiskWorker {
 public:
  DiskWorker() : queue_(kMaxQueuedCalls), thread_([this] { Work(); }) {}
  ~DiskWorker() { Close(); }

  // False when too much is queued or the worker is closed.
  bool TryRun(std::function<void()> call) { return queue_.TryPush(call); }

  // Finishes what is queued. Idempotent.
  void Close() {
    absl::MutexLock lock(&close_mutex_);
    queue_.Close();
    if (thread_.joinable()) {
      thread_.join();
    }
  }

 private:
  static constexpr size_t kMaxQueuedCalls = 64;

  void Work() {
    pthread_setname_np(pthread_self(), "snapshot-disk");
    for (auto call = queue_.Pop(); call.ok(); call = queue_.Pop()) {
      (*call)();
    }
  }

  BoundedQueue<std::function<void()>> queue_;
  absl::Mutex close_mutex_;
  std::thread thread_ ABSL_GUARDED_BY(close_mutex_);
};

}  // namespace demorl
