#pragma once

#include <array>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/robot/recording/tick_record.h"

namespace demorl {

// What is known of a robot outside its control loop: the last tick, and sums over all ticks. Filled by the
// thread that takes the loop's records, read by everybody else. Thread-safe.
class StateBoard {
 public:
  struct Summary {
    // False before the first tick.
    bool ticking = false;
    TickRecord last;
    // Joints clamped, by reason.
    std::array<uint64_t, kNumClamps> clamps{};
    uint64_t episodes = 0;
    double last_return = 0;
  };

  // In order of ticks.
  void Update(const TickRecord& record);

  Summary Get() const {
    absl::MutexLock lock(&mutex_);
    return summary_;
  }

  // Blocks until the robot has left `state`; false at the deadline.
  bool AwaitLeft(RobotState state, absl::Time deadline) const {
    absl::MutexLock lock(&mutex_);
    const auto left = [this, state]()
                          ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return summary_.last.state != state; };
    return mutex_.AwaitWithDeadline(absl::Condition(&left), deadline);
  }

 private:
  mutable absl::Mutex mutex_;
  Summary summary_ ABSL_GUARDED_BY(mutex_);
  double return_ ABSL_GUARDED_BY(mutex_) = 0;  // of the running episode
};

}  // namespace demorl
