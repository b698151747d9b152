#include "common/rpc/worker_loop.h"

#include <pthread.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

constexpr absl::Duration kRetryDelay = absl::Seconds(1);

bool MayComeLater(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsNotFound(status) || absl::IsDeadlineExceeded(status);
}

}  // namespace

WorkerLoop::WorkerLoop(Options options) : options_(std::move(options)) { status_.detail = "not started"; }

void WorkerLoop::Start() {
  {
    absl::MutexLock lock(&mutex_);
    if (started_ || stop_) {
      return;
    }
    started_ = true;
  }
  absl::MutexLock lock(&join_mutex_);
  thread_ = std::thread([this] { Run(); });
}

void WorkerLoop::Pause() {
  absl::MutexLock lock(&mutex_);
  paused_ = true;
}

void WorkerLoop::Resume() {
  absl::MutexLock lock(&mutex_);
  paused_ = false;
}

absl::StatusOr<std::string> WorkerLoop::Checkpoint() {
  absl::MutexLock lock(&mutex_);
  if (!ready_ || ended_) {
    return absl::FailedPreconditionError(absl::StrCat("no checkpoint now: the ", options_.worker,
                                                      ended_ ? " has ended" : " is not ready", " (",
                                                      status_.detail, ")"));
  }
  const int64_t ticket = ++checkpoints_asked_;
  const auto answered = [this, ticket]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return checkpoints_answered_ >= ticket || ended_;
  };
  mutex_.Await(absl::Condition(&answered));
  if (checkpoints_answered_ < ticket) {
    return absl::UnavailableError(
        absl::StrCat("the ", options_.worker, " ended before it could write a checkpoint"));
  }
  return checkpoint_answer_;
}

absl::Status WorkerLoop::Drain(absl::Time deadline) {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
    drain_deadline_ = std::min(drain_deadline_, deadline);
  }
  absl::MutexLock lock(&join_mutex_);
  if (thread_.joinable()) {
    thread_.join();
  }
  absl::MutexLock state_lock(&mutex_);
  return end_status_;
}

ComponentStatus WorkerLoop::Status() const {
  absl::MutexLock lock(&mutex_);
  ComponentStatus status = status_;
  AddToStatus(&status);
  if (stop_) {
    status.state = ComponentState::kDraining;
  } else if (paused_ && status.state == ComponentState::kRunning) {
    status.state = ComponentState::kPaused;
  }
  return status;
}

void WorkerLoop::Run() {
  pthread_setname_np(pthread_self(), options_.thread_name.c_str());
  absl::Status status = Prepare();
  if (status.ok()) {
    status = Work();
  }
  CloseInput();
  if (!status.ok() && !absl::IsCancelled(status)) {
    spdlog::error("{} stopped: {}", options_.task, status.ToString());
    Describe(ComponentState::kUnhealthy, std::string(status.message()));
    absl::MutexLock lock(&mutex_);
    ended_ = true;
    mutex_.Await(absl::Condition(&stop_));
  }
  absl::Status end_status = Finish();
  absl::MutexLock lock(&mutex_);
  ended_ = true;
  end_status_ = std::move(end_status);
}

absl::Status WorkerLoop::RetryUntilThere(absl::string_view what, absl::FunctionRef<absl::Status()> attempt) {
  while (true) {
    const absl::Status status = attempt();
    if (!MayComeLater(status)) {
      return status;
    }
    Describe(ComponentState::kStarting,
             absl::StrCat("waits for ", what, ": ", std::string(status.message())));
    if (WaitForRetry()) {
      return absl::CancelledError("stopped");
    }
  }
}

bool WorkerLoop::WaitForWork() {
  const auto changed = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return stop_ || !paused_ || checkpoints_asked_ > checkpoints_answered_;
  };
  while (true) {
    bool stop, paused;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&changed));
      stop = stop_;
      paused = paused_;
    }
    AnswerCheckpointRequest();
    if (stop || !paused) {
      return !stop;
    }
  }
}

void WorkerLoop::AnswerCheckpointRequest() {
  int64_t asked;
  {
    absl::MutexLock lock(&mutex_);
    asked = checkpoints_asked_;
    if (asked == checkpoints_answered_) {
      return;
    }
  }
  absl::StatusOr<std::string> answer = WriteCheckpoint();
  absl::MutexLock lock(&mutex_);
  checkpoint_answer_ = std::move(answer);
  checkpoints_answered_ = asked;
}

bool WorkerLoop::WaitForRetry() {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&stop_), kRetryDelay);
}

void WorkerLoop::Describe(ComponentState state, std::string detail) {
  absl::MutexLock lock(&mutex_);
  if (state == ComponentState::kRunning && status_.state == ComponentState::kUnhealthy) {
    return;
  }
  status_.state = state;
  status_.detail = std::move(detail);
}

bool WorkerLoop::StopRequested() const {
  absl::MutexLock lock(&mutex_);
  return stop_;
}

absl::Time WorkerLoop::DrainDeadline() const {
  absl::MutexLock lock(&mutex_);
  return drain_deadline_;
}

}  // namespace demorl
