#include "services/robot_gateway/drained_thread.h"

#include <pthread.h>

#include <algorithm>

#include "absl/time/clock.h"

namespace demorl {

void DrainedThread::Start() {
  absl::MutexLock lock(&join_mutex_);
  if (!thread_.joinable()) {
    thread_ = std::thread([this] { Run(); });
  }
}

void DrainedThread::Run() {
  pthread_setname_np(pthread_self(), name_.c_str());
  absl::Status outcome = work_();
  absl::MutexLock lock(&mutex_);
  outcome_ = std::move(outcome);
}

absl::Status DrainedThread::Drain(absl::Time deadline) {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
    deadline_ = std::min(deadline_, deadline);
  }
  absl::MutexLock join_lock(&join_mutex_);
  if (thread_.joinable()) {
    thread_.join();
  }
  absl::MutexLock lock(&mutex_);
  return outcome_;
}

bool DrainedThread::stop_requested() const {
  absl::MutexLock lock(&mutex_);
  return stop_;
}

absl::Time DrainedThread::deadline() const {
  absl::MutexLock lock(&mutex_);
  return deadline_;
}

bool DrainedThread::MustEnd() const { return absl::Now() >= deadline(); }

bool DrainedThread::WaitForStop(absl::Duration timeout) const {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&stop_), timeout);
}

void DrainedThread::Rest(absl::Duration duration) const {
  const absl::Time end = absl::Now() + duration;
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithDeadline(absl::Condition(&stop_), end);
  if (stop_) {
    const auto never = [] { return false; };
    mutex_.AwaitWithDeadline(absl::Condition(&never), std::min(end, deadline_));
  }
}

}  // namespace demorl
