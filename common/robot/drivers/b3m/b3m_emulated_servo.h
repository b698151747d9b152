#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "absl/time/time.h"
#include "common/robot/drivers/b3m/b3m_registers.h"

namespace demorl::b3m {

// How an emulated servo behaves where its registers do not say. Differs: Kondo tells neither the scale of the
// gains nor what hold does; here the gains that the servo starts with stand for `stiffness_nm_rad` and
// `damping_nm_s_rad`, and hold brakes with `hold_damping_nm_s_rad`.
struct ServoBehaviour {
  double torque_constant_nm_a = 7.6 / 5.4;
  double stiffness_nm_rad = 400;
  double damping_nm_s_rad = 10;
  double velocity_gain_nm_s_rad = 10;
  double hold_damping_nm_s_rad = 4;
  double supply_v = 11.1;
  double supply_resistance_ohm = 0.05;
  double ambient_c = 25;
  // Of the winding: heat by the square of the current, and how fast it leaves.
  double heating_c_s_a2 = 0.05;
  absl::Duration cooling_time = absl::Seconds(60);
  absl::Duration restart_time = absl::Milliseconds(100);
};

// One B3M-SC-1170-A: its memory, its controller, its protections. Of one thread.
class EmulatedServo {
 public:
  static constexpr size_t kMemoryBytes = 0xB2;

  EmulatedServo(uint8_t id, int baud_rate, const ServoBehaviour& behaviour);

  uint8_t id() const { return memory_[kId]; }
  bool answers(absl::Duration now) const { return now >= restarts_at_; }

  // The bytes at `address`; empty, and a command status, if they are not all there.
  std::span<const uint8_t> Read(uint8_t address, size_t num_bytes);
  // False, and a command status, if not all of them may be written.
  bool Write(uint8_t address, std::span<const uint8_t> data);
  // Memory as saved last, motor free; silent for `restart_time`.
  void Restart(absl::Duration now);
  void Save() { saved_ = memory_; }
  void Load();
  // A new target position, to be reached after so long where a trajectory is chosen.
  void Move(int16_t centidegrees, uint16_t time_ms);

  // The status byte that a reply to a request with this option carries. Options without the top bit clear
  // what concerns single messages; what concerns the motor stays until a restart.
  uint8_t TakeStatus(uint8_t option);
  void AddStatus(Register status, uint8_t bits) { memory_[status] |= bits; }
  void SetSupply(double voltage_v) { behaviour_.supply_v = voltage_v; }

  // Measures the joint and returns the motor's torque on it.
  double Step(absl::Duration now, double position_rad, double velocity_rad_s);

 private:
  int16_t LoadI16(uint8_t address) const;
  uint32_t LoadU32(uint8_t address) const;
  void StoreI16(uint8_t address, double value);
  void StoreU32(uint8_t address, uint32_t value);
  double ControlTorque(absl::Duration now, double position_rad, double velocity_rad_s);
  double PlannedPosition(absl::Duration now, double target_rad);
  void Measure(absl::Duration now, double position_rad, double velocity_rad_s, double torque_nm);
  void Protect();

  ServoBehaviour behaviour_;
  std::array<uint8_t, kMemoryBytes> memory_ = {};
  std::array<uint8_t, kMemoryBytes> saved_ = {};
  absl::Duration restarts_at_ = -absl::InfiniteDuration();
  absl::Duration now_;
  double motor_temperature_c_;
  // Of a movement over time: where and when it began. Ends at the target.
  double move_from_rad_ = 0;
  double position_rad_ = 0;
  absl::Duration move_begin_;
  absl::Duration move_duration_;
};

}  // namespace demorl::b3m
