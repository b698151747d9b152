#include "services/replay/core/group_commit.h"

#include <pthread.h>

#include <algorithm>

namespace demorl {
namespace {

constexpr absl::Duration kLongestDelay = absl::Seconds(1);
constexpr absl::Duration kFirstBackoff = absl::Milliseconds(20);

}  // namespace

GroupCommit::GroupCommit(KvStore* store, CommitSource* source, absl::Duration interval)
    : store_(store), source_(source), interval_(interval), thread_([this] { Run(); }) {}

void GroupCommit::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) {
    thread_.join();
    RunCheckpoints(absl::CancelledError("the store is closed"));
  }
}

void GroupCommit::Request(bool lazily) {
  absl::MutexLock lock(&mutex_);
  (lazily ? lazy_ : urgent_) = true;
}

void GroupCommit::RequestCheckpoint(CheckpointCallback done) {
  {
    absl::MutexLock lock(&mutex_);
    if (!stopping_) {
      checkpoints_.push_back(std::move(done));
      return;
    }
  }
  done(absl::CancelledError("the store is closed"));
}

void GroupCommit::Run() {
  pthread_setname_np(pthread_self(), "replay-commit");
  bool running = true;
  while (running) {
    running = WaitUntilDue();
    const absl::Status committed = Commit();
    if (committed.ok()) {
      if (failures_ > 0) {
        Request();  // for what came while the same changes were tried again
      }
      failures_ = 0;
      source_->OnCommitted();
    } else {
      ++failures_;
      source_->OnCommitFailed(committed);
      Request();
    }
    RunCheckpoints(committed);
  }
}

bool GroupCommit::WaitUntilDue() {
  absl::MutexLock lock(&mutex_);
  const auto requested = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return Urgent() || lazy_; };
  mutex_.Await(absl::Condition(&requested));
  if (!Urgent()) {
    mutex_.AwaitWithTimeout(absl::Condition(this, &GroupCommit::Urgent), kLongestDelay);
  }
  absl::Duration pause = interval_;
  if (failures_ > 0) {
    pause = std::min(kFirstBackoff * static_cast<double>(1 << std::min(failures_, 10)), kLongestDelay);
  }
  mutex_.AwaitWithDeadline(absl::Condition(&stopping_), last_commit_ + pause);
  urgent_ = lazy_ = false;
  return !stopping_;
}

absl::Status GroupCommit::Commit() {
  if (changes_.empty()) {
    changes_ = source_->CollectChanges();
  }
  absl::Status status;
  if (!changes_.empty()) {
    status = store_->Write(changes_);
  }
  if (status.ok()) {
    changes_.clear();
  }
  last_commit_ = absl::Now();
  return status;
}

void GroupCommit::RunCheckpoints(const absl::Status& committed) {
  std::vector<CheckpointCallback> callbacks;
  {
    absl::MutexLock lock(&mutex_);
    callbacks.swap(checkpoints_);
  }
  for (const CheckpointCallback& done : callbacks) {
    done(committed.ok() ? store_->CreateCheckpoint() : absl::StatusOr<std::string>(committed));
  }
}

}  // namespace demorl
