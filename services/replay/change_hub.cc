#include "services/replay/change_hub.h"

#include <pthread.h>

#include <vector>

namespace demorl {

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
    for (const std::shared_ptr<ChangeWaiter>& waiter : waiters) {
      waiter->OnChange();
    }
    waiters.clear();
  }
}

}  // namespace demorl
