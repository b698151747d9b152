#pragma once

#include <pthread.h>

#include <cstddef>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/concurrency/bounded_queue.h"

namespace demorl {

// One thread that may block, for calls that must be made one after the other: waiting for a disk, a device.
// Thread-safe.
class SerialWorker {
 public:
  // `thread_name`: at most 15 characters.
  explicit SerialWorker(std::string thread_name)
      : thread_name_(std::move(thread_name)), queue_(kMaxQueuedCalls), thread_([this] { Work(); }) {}
  ~SerialWorker() { Close(); }

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
    pthread_setname_np(pthread_self(), thread_name_.c_str());
    for (auto call = queue_.Pop(); call.ok(); call = queue_.Pop()) {
      (*call)();
    }
  }

  const std::string thread_name_;
  BoundedQueue<std::function<void()>> queue_;
  absl::Mutex close_mutex_;
  std::thread thread_ ABSL_GUARDED_BY(close_mutex_);
};

}  // namespace demorl
