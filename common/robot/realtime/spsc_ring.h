#pragma once

#include <atomic>
#include <cstddef>
#include <type_traits>
#include <vector>

namespace demorl {

// A bounded queue from one thread to one other, without locks. Both sides are real-time safe; T is plain
// data, so that copying it allocates nothing.
template <typename T>
class SpscRing {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  // Keeps up to `capacity` entries.
  explicit SpscRing(size_t capacity) : slots_(capacity + 1) {}

  // For the producer; false if it is full, and `value` is not taken.
  bool TryPush(const T& value) {
    const size_t tail = tail_.load(std::memory_order_relaxed);
    const size_t next = Next(tail);
    if (next == head_.load(std::memory_order_acquire)) {
      return false;
    }
    slots_[tail] = value;
    tail_.store(next, std::memory_order_release);
    return true;
  }

  // For the consumer; false if it is empty.
  bool TryPop(T& value) {
    const size_t head = head_.load(std::memory_order_relaxed);
    if (head == tail_.load(std::memory_order_acquire)) {
      return false;
    }
    value = slots_[head];
    head_.store(Next(head), std::memory_order_release);
    return true;
  }

  size_t capacity() const { return slots_.size() - 1; }

 private:
  size_t Next(size_t index) const { return index + 1 == slots_.size() ? 0 : index + 1; }

  std::vector<T> slots_;
  // Apart, so that the two threads do not write to one cache line.
  alignas(64) std::atomic<size_t> head_ = 0;  // next to pop
  alignas(64) std::atomic<size_t> tail_ = 0;  // next to push
};

}  // namespace demorl
