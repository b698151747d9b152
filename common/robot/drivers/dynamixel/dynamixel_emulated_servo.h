#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/time/time.h"
#include "common/robot/drivers/dynamixel/dynamixel_codec.h"
#include "common/robot/drivers/dynamixel/dynamixel_table.h"

namespace demorl::dxl {

// How an emulated actuator behaves where its control table does not say. Differs: the gains of the table are
// not emulated.
struct ServoBehaviour {
  double stiffness_nm_rad = 20;
  double damping_nm_s_rad = 0.5;
  double supply_v = 12;
  double temperature_c = 30;
  absl::Duration restart_time = absl::Milliseconds(100);
};

// One X-series actuator: its control table, its controller, its bus watchdog. Of one thread.
class EmulatedServo {
 public:
  EmulatedServo(const Model& model, uint8_t id, uint8_t firmware, const ServoBehaviour& behaviour);

  uint8_t id() const { return table_[kId]; }
  const Model& model() const { return model_; }
  bool answers(absl::Duration now) const { return now >= restarts_at_; }
  int status_return_level() const { return table_[kStatusReturnLevel]; }
  absl::Duration return_delay() const { return absl::Microseconds(2) * table_[kReturnDelay]; }
  uint8_t alert() const { return table_[kHardwareError] != 0 ? kAlert : 0; }

  // An Error. Of Read, `data` is a view into the table.
  uint8_t Read(size_t address, size_t num_bytes, std::span<const uint8_t>& data) const;
  uint8_t Write(size_t address, std::span<const uint8_t> data);
  uint8_t Register(size_t address, std::span<const uint8_t> data);
  uint8_t Act();
  // RAM as at power on, torque off; silent for `restart_time`.
  void Restart(absl::Duration now);
  // Somebody has spoken on the bus.
  void FeedWatchdog(absl::Duration now) { heard_at_ = now; }

  void AddHardwareError(uint8_t bits) { table_[kHardwareError] |= bits; }
  int32_t Value(uint16_t address, size_t num_bytes) const;

  // Measures the joint and returns the motor's torque on it.
  double Step(absl::Duration now, double position_rad, double velocity_rad_s);

 private:
  uint8_t Check(size_t address, std::span<const uint8_t> data) const;
  bool IsInRange(uint16_t address, int32_t value) const;
  void StoreValue(uint16_t address, size_t num_bytes, double value);
  void WatchBus(absl::Duration now);
  double ControlTorque(double position_rad, double velocity_rad_s) const;
  bool torque_on() const { return table_[kTorqueEnable] != 0; }
  bool tripped() const { return table_[kBusWatchdog] == kWatchdogTripped; }
  OperatingMode mode() const { return static_cast<OperatingMode>(table_[kOperatingMode]); }

  const Model& model_;
  const ServoBehaviour behaviour_;
  std::array<uint8_t, kTableBytes> table_ = {};
  struct RegisteredWrite {
    size_t address;
    std::vector<uint8_t> data;
  };
  std::optional<RegisteredWrite> registered_;
  absl::Duration restarts_at_ = -absl::InfiniteDuration();
  absl::Duration heard_at_ = -absl::InfiniteDuration();
};

}  // namespace demorl::dxl
