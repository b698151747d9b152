#pragma once

#include <cstdint>

namespace demorl {

// Follows a device's counter of samples, which starts anywhere and wraps at `modulus`. A step of more than
// half of that is a device that has started anew, and counts as one.
class SampleCounter {
 public:
  explicit SampleCounter(uint32_t modulus) : modulus_(modulus) {}

  // How many samples on `value` is from the one before: 1 if none was lost, 0 for the same one again.
  uint32_t Advance(uint32_t value) {
    uint32_t steps = started_ ? (value + modulus_ - last_) % modulus_ : 1;
    if (steps > modulus_ / 2) {
      steps = 1;
    }
    sequence_ = started_ ? sequence_ + steps : value;
    missed_ += steps > 1 ? steps - 1 : 0;
    started_ = true;
    last_ = value;
    return steps;
  }

  // The counter without the wrap.
  uint32_t sequence() const { return sequence_; }
  uint64_t missed() const { return missed_; }

 private:
  const uint32_t modulus_;
  bool started_ = false;
  uint32_t last_ = 0;
  uint32_t sequence_ = 0;
  uint64_t missed_ = 0;
};

}  // namespace demorl
