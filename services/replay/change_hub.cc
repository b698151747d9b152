#include "services/replay/change_hub.h"

#include <pthread.h>

#include <vector>

#include "absl/time/time.h"

namespace demorl {

namespace {

// After a round, per stream.
constexpr absl::Duration kRest = absl::Microseconds(2);

}  // namespace

ChangeHub::ChangeHub() : thread_([this] { Run(); }) {}

ChangeHub::~ChangeHub() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

void ChangeHub::Add(const std::shared_ptr<ChangeWaiter>& waiter) {
  absl::MutexLock lock(&mutex_);
  waiters_[waiter.get()] = waiter;
  changed_ = true;
}

void ChangeHub::Remove(ChangeWaiter* waiter) {
  absl::MutexLock lock(&mutex_);
  waiters_.erase(waiter);
}

void ChangeHub::Signal() {
  absl::MutexLock lock(&mutex_);
  changed_ = true;
}

void ChangeHub::EndStreams() {
  absl::MutexLock lock(&mutex_);
  ended_ = true;
  changed_ = true;
}

bool ChangeHub::ended() const {
  absl::MutexLock lock(&mutex_);
  return ended_;
}

int ChangeHub::size() const {
  absl::MutexLock lock(&mutex_);
  return static_cast<int>(waiters_.size());
}

void ChangeHub::Run() {
  pthread_setname_np(pthread_self(), "replay-wake");
  std::vector<std::shared_ptr<ChangeWaiter>> waiters;
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(this, &ChangeHub::ShouldWake));
      if (stopping_) {
        return;
      }
      changed_ = false;
      for (const auto& [pointer, waiter] : waiters_) {
        if (auto alive = waiter.lock()) {
          waiters.push_back(std::move(alive));
        }
      }
    }
    bool again = false;
    for (const std::shared_ptr<ChangeWaiter>& waiter : waiters) {
      again = waiter->OnChange() || again;
    }
    const absl::Duration rest = kRest * waiters.size();
    waiters.clear();
    absl::MutexLock lock(&mutex_);
    changed_ = changed_ || again;
    mutex_.AwaitWithTimeout(absl::Condition(&stopping_), rest);
  }
}

}  // namespace demorl
