#include "services/actor/core/evaluation_queue.h"

#include <pthread.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace demorl {

EvaluationQueue::EvaluationQueue(EnvironmentFactory factory, int capacity)
    : factory_(std::move(factory)), capacity_(capacity), thread_([this] { Run(); }) {}

EvaluationQueue::~EvaluationQueue() { Close(); }

absl::Status EvaluationQueue::Submit(Job job) {
  absl::MutexLock lock(&mutex_);
  if (closed_) {
    return absl::UnavailableError("the actor is stopping and takes no more evaluations");
  }
  if (waiting_.size() >= capacity_ + (running_ ? 0 : 1)) {
    return absl::ResourceExhaustedError(
        absl::StrCat(waiting_.size(), " evaluations are waiting, at most ", capacity_, " may"));
  }
  waiting_.push_back(std::move(job));
  return absl::OkStatus();
}

int EvaluationQueue::num_in_flight() const {
  absl::MutexLock lock(&mutex_);
  return static_cast<int>(waiting_.size()) + (running_ ? 1 : 0);
}

void EvaluationQueue::Close() {
  std::deque<Job> dropped;
  {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
    dropped.swap(waiting_);
  }
  for (Job& job : dropped) {
    job.done(absl::UnavailableError("the actor is stopping"));
  }
  absl::MutexLock lock(&join_mutex_);
  if (thread_.joinable()) {
    thread_.join();
  }
}

void EvaluationQueue::Run() {
  pthread_setname_np(pthread_self(), "actor-evaluate");
  while (true) {
    Job job;
    {
      absl::MutexLock lock(&mutex_);
      running_ = false;
      const auto ready = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return closed_ || !waiting_.empty(); };
      mutex_.Await(absl::Condition(&ready));
      if (closed_) {
        return;
      }
      job = std::move(waiting_.front());
      waiting_.pop_front();
      running_ = true;
    }
    job.options.cancelled = [this, asked = std::move(job.options.cancelled)] {
      absl::MutexLock lock(&mutex_);
      return closed_ || (asked && asked());
    };
    const absl::StatusOr<TensorFile> policy = job.load_policy();
    job.done(policy.ok() ? EvaluateOn(factory_, *policy, job.options) : policy.status());
  }
}

}  // namespace demorl
