#include "common/concurrency/worker_pool.h"

#include <pthread.h>

#include "absl/strings/str_cat.h"

namespace demorl {

WorkerPool::WorkerPool(int num_threads, const char* name) {
  for (int i = 1; i < num_threads; ++i) {
    threads_.emplace_back([this, i] { Work(i); });
    pthread_setname_np(threads_.back().native_handle(), absl::StrCat(name, "-", i).substr(0, 15).c_str());
  }
}

WorkerPool::~WorkerPool() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }
  for (std::thread& thread : threads_) {
    thread.join();
  }
}

void WorkerPool::Run(const std::function<void(int)>& task) {
  if (!threads_.empty()) {
    absl::MutexLock lock(&mutex_);
    task_ = &task;
    num_running_ = static_cast<int>(threads_.size());
    ++generation_;
  }
  task(0);
  if (!threads_.empty()) {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](WorkerPool* pool) ABSL_NO_THREAD_SAFETY_ANALYSIS { return pool->num_running_ == 0; }, this));
    task_ = nullptr;
  }
}

void WorkerPool::Work(int index) {
  uint64_t seen = 0;
  while (true) {
    const std::function<void(int)>* task = nullptr;
    {
      absl::MutexLock lock(&mutex_);
      const auto ready = [this, &seen]()
                             ABSL_NO_THREAD_SAFETY_ANALYSIS { return stopped_ || generation_ != seen; };
      mutex_.Await(absl::Condition(&ready));
      if (stopped_) {
        return;
      }
      seen = generation_;
      task = task_;
    }
    (*task)(index);
    absl::MutexLock lock(&mutex_);
    --num_running_;
  }
}

}  // namespace demorl
