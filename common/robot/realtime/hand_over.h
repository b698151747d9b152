#pragma once

#include <atomic>
#include <memory>
#include <utility>

namespace demorl {

// Gives a control loop the newest version of something that is built outside it, a policy say, without making
// the loop wait, allocate or free. Between offer and take the newest wins. One thread offers, one
// takes; Collect is for any but the one that takes.
template <typename T>
class HandOver {
 public:
  HandOver() = default;
  HandOver(const HandOver&) = delete;
  HandOver& operator=(const HandOver&) = delete;
  ~HandOver() {
    delete offered_.load();
    delete retired_.load();
  }

  // For the offering thread. Frees an offer that was not taken, and what the loop has let go of.
  void Offer(std::unique_ptr<T> value) {
    Collect();
    delete offered_.exchange(value.release(), std::memory_order_acq_rel);
  }

  // Frees what the loop has let go of; now and then.
  void Collect() { delete retired_.exchange(nullptr, std::memory_order_acq_rel); }

  // For the loop; real-time safe. Replaces `current` if there is an offer and the one let go of before has
  // been collected; true if it did.
  bool Take(std::unique_ptr<T>& current) {
    if (retired_.load(std::memory_order_acquire) != nullptr) {
      return false;
    }
    T* newest = offered_.exchange(nullptr, std::memory_order_acq_rel);
    if (newest == nullptr) {
      return false;
    }
    retired_.store(current.release(), std::memory_order_release);
    current.reset(newest);
    return true;
  }

 private:
  std::atomic<T*> offered_ = nullptr;
  std::atomic<T*> retired_ = nullptr;
};

}  // namespace demorl
