#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "common/robot/recording/tick_record.h"
#include "common/robot/safety/robot_state.h"

namespace demorl {

// An action that an operator puts in the policy's place for a while.
struct Intervention {
  std::array<float, kMaxActionSize> action{};  // normalised to [-1, 1]
  // On RealClock's time line.
  absl::Duration expiry;
};

// Through this operators' requests reach a control loop, which reads it each tick without waiting. Writers
// are serialised by their owner; an emergency stop may come from any thread at any time.
class OperatorPanel {
 public:
  // Writers.
  void RequestArm(ArmMode mode) { arm_.store(static_cast<int>(mode), std::memory_order_release); }
  void RequestDisarm() { disarm_.store(true, std::memory_order_release); }
  // Latched until ClearFault.
  void EmergencyStop() { emergency_stops_.fetch_add(1, std::memory_order_acq_rel); }
  // How often it was pressed.
  uint32_t num_emergency_stops() const { return emergency_stops_.load(std::memory_order_acquire); }
  // Of the emergency stops, clears the first `num_emergency_stops`: one that was pressed since then holds.
  void ClearFault(uint32_t num_emergency_stops) {
    emergency_stops_cleared_.store(num_emergency_stops, std::memory_order_relaxed);
    clear_fault_.store(true, std::memory_order_release);
  }
  // Until when the lease is valid, on RealClock's time line; in the past for none.
  void SetLeaseExpiry(absl::Duration expiry) {
    lease_expiry_ns_.store(absl::ToInt64Nanoseconds(expiry), std::memory_order_release);
  }
  // Moves one joint at this speed until `expiry`; the dead-man's switch of jogging.
  void Jog(int joint, double velocity_rad_s, absl::Duration expiry) {
    // Odd while the three are being written: the loop then takes none of them.
    jog_sequence_.fetch_add(1, std::memory_order_acq_rel);
    jog_joint_.store(joint, std::memory_order_relaxed);
    jog_velocity_rad_s_.store(velocity_rad_s, std::memory_order_relaxed);
    jog_expiry_ns_.store(absl::ToInt64Nanoseconds(expiry), std::memory_order_relaxed);
    jog_sequence_.fetch_add(1, std::memory_order_release);
  }
  void StopJog() { Jog(-1, 0, absl::ZeroDuration()); }
  // Acts in the policy's place until it expires: a dead-man's switch, too.
  void Intervene(const Intervention& intervention) {
    // As with Jog.
    intervention_sequence_.fetch_add(1, std::memory_order_acq_rel);
    for (size_t i = 0; i < intervention.action.size(); ++i) {
      intervention_action_[i].store(intervention.action[i], std::memory_order_relaxed);
    }
    intervention_expiry_ns_.store(absl::ToInt64Nanoseconds(intervention.expiry), std::memory_order_relaxed);
    intervention_sequence_.fetch_add(1, std::memory_order_release);
  }
  void StopIntervention() { Intervene({}); }

  // The loop.
  std::optional<ArmMode> TakeArm() {
    const int mode = arm_.exchange(kNoArm, std::memory_order_acq_rel);
    return mode == kNoArm ? std::nullopt : std::optional(static_cast<ArmMode>(mode));
  }
  bool TakeDisarm() { return disarm_.exchange(false, std::memory_order_acq_rel); }
  bool TakeClearFault() { return clear_fault_.exchange(false, std::memory_order_acq_rel); }
  bool emergency_stop() const {
    return num_emergency_stops() != emergency_stops_cleared_.load(std::memory_order_acquire);
  }
  bool LeaseIsValid(absl::Duration now) const {
    return absl::ToInt64Nanoseconds(now) < lease_expiry_ns_.load(std::memory_order_acquire);
  }
  // Speed asked of `joint` now; 0 for none.
  double JogVelocity(int joint, absl::Duration now) const {
    const uint32_t sequence = jog_sequence_.load(std::memory_order_acquire);
    const int jogged = jog_joint_.load(std::memory_order_relaxed);
    const double velocity = jog_velocity_rad_s_.load(std::memory_order_relaxed);
    const int64_t expiry_ns = jog_expiry_ns_.load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    const bool whole = sequence % 2 == 0 && jog_sequence_.load(std::memory_order_relaxed) == sequence;
    return whole && jogged == joint && absl::ToInt64Nanoseconds(now) < expiry_ns ? velocity : 0;
  }
  // The last intervention; leaves `intervention` alone while a new one is being written.
  void ReadIntervention(Intervention& intervention) const {
    Intervention read;
    const uint32_t sequence = intervention_sequence_.load(std::memory_order_acquire);
    for (size_t i = 0; i < read.action.size(); ++i) {
      read.action[i] = intervention_action_[i].load(std::memory_order_relaxed);
    }
    read.expiry = absl::Nanoseconds(intervention_expiry_ns_.load(std::memory_order_relaxed));
    std::atomic_thread_fence(std::memory_order_acquire);
    if (sequence % 2 == 0 && intervention_sequence_.load(std::memory_order_relaxed) == sequence) {
      intervention = read;
    }
  }

 private:
  static constexpr int kNoArm = -1;

  std::atomic<int> arm_ = kNoArm;
  std::atomic<bool> disarm_ = false;
  std::atomic<bool> clear_fault_ = false;
  std::atomic<uint32_t> emergency_stops_ = 0;
  std::atomic<uint32_t> emergency_stops_cleared_ = 0;
  std::atomic<int64_t> lease_expiry_ns_ = 0;
  std::atomic<uint32_t> jog_sequence_ = 0;
  std::atomic<int> jog_joint_ = -1;
  std::atomic<double> jog_velocity_rad_s_ = 0;
  std::atomic<int64_t> jog_expiry_ns_ = 0;
  std::atomic<uint32_t> intervention_sequence_ = 0;
  std::array<std::atomic<float>, kMaxActionSize> intervention_action_{};
  std::atomic<int64_t> intervention_expiry_ns_ = 0;
};

}  // namespace demorl
