#pragma once

#include <atomic>
#include <cstdint>

#include "absl/time/time.h"

namespace demorl {

// What an armed robot does.
enum class ArmMode : uint8_t {
  // Episodes, by policy or at random.
  kLearn,
  // Holds still, and moves single joints as operators jog them. Nothing is learned from it.
  kJog,
  // As kLearn from where it is, but the motors stay off and nothing is learned: what would be commanded is in
  // the
  // records.
  kDryRun,
};

// Through this operators' requests reach a control loop, which reads it each tick without waiting. Writers
// are serialised by their owner; an emergency stop may come from any thread at any time.
class OperatorPanel {
 public:
  // Writers.
  void RequestArm(ArmMode mode) {
    mode_.store(mode, std::memory_order_relaxed);
    arm_.store(true, std::memory_order_release);
  }
  void RequestDisarm() { disarm_.store(true, std::memory_order_release); }
  // Latched until ClearFault.
  void EmergencyStop() { emergency_stop_.store(true, std::memory_order_release); }
  void ClearFault() {
    emergency_stop_.store(false, std::memory_order_relaxed);
    clear_fault_.store(true, std::memory_order_release);
  }
  // Until when the lease is valid, on RealClock's time line; in the past for none.
  void SetLeaseExpiry(absl::Duration expiry) {
    lease_expiry_ns_.store(absl::ToInt64Nanoseconds(expiry), std::memory_order_release);
  }
  // Moves one joint at this speed until `expiry`; the dead-man's switch of jogging.
  void Jog(int joint, double velocity_rad_s, absl::Duration expiry) {
    jog_expiry_ns_.store(0, std::memory_order_release);  // so that the loop never mixes two jogs
    jog_joint_.store(joint, std::memory_order_relaxed);
    jog_velocity_rad_s_.store(velocity_rad_s, std::memory_order_relaxed);
    jog_expiry_ns_.store(absl::ToInt64Nanoseconds(expiry), std::memory_order_release);
  }

  // The loop.
  bool TakeArm() { return arm_.exchange(false, std::memory_order_acq_rel); }
  bool TakeDisarm() { return disarm_.exchange(false, std::memory_order_acq_rel); }
  bool TakeClearFault() { return clear_fault_.exchange(false, std::memory_order_acq_rel); }
  bool emergency_stop() const { return emergency_stop_.load(std::memory_order_acquire); }
  ArmMode mode() const { return mode_.load(std::memory_order_relaxed); }
  bool LeaseIsValid(absl::Duration now) const {
    return absl::ToInt64Nanoseconds(now) < lease_expiry_ns_.load(std::memory_order_acquire);
  }
  // Speed asked of `joint` now; 0 for none.
  double JogVelocity(int joint, absl::Duration now) const {
    return absl::ToInt64Nanoseconds(now) < jog_expiry_ns_.load(std::memory_order_acquire) &&
                   jog_joint_.load(std::memory_order_relaxed) == joint
               ? jog_velocity_rad_s_.load(std::memory_order_relaxed)
               : 0;
  }

 private:
  std::atomic<bool> arm_ = false;
  std::atomic<bool> disarm_ = false;
  std::atomic<bool> clear_fault_ = false;
  std::atomic<bool> emergency_stop_ = false;
  std::atomic<ArmMode> mode_ = ArmMode::kLearn;
  std::atomic<int64_t> lease_expiry_ns_ = 0;
  std::atomic<int> jog_joint_ = -1;
  std::atomic<double> jog_velocity_rad_s_ = 0;
  std::atomic<int64_t> jog_expiry_ns_ = 0;
};

}  // namespace demorl
