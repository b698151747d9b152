#pragma once

#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace demorl {

// Runs one function on a fixed set of threads, the caller's among them. Thread-compatible: one caller.
class WorkerPool {
 public:
  // num_threads >= 1; starts num_threads - 1 threads, named "<name>-<i>".
  WorkerPool(int num_threads, const char* name);
  ~WorkerPool();

  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  int num_threads() const { return static_cast<int>(threads_.size()) + 1; }

  // Calls task(i) for i = 0 .. num_threads - 1, each on its own thread, and returns when all are done.
  void Run(const std::function<void(int)>& task);

 private:
  void Work(int index);

  absl::Mutex mutex_;
  // Null between two runs.
  const std::function<void(int)>* task_ ABSL_GUARDED_BY(mutex_) = nullptr;
  uint64_t generation_ ABSL_GUARDED_BY(mutex_) = 0;
  int num_running_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace demorl
