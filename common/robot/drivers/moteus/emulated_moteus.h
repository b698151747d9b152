#pragma once

#include <limits>
#include <optional>

#include "absl/time/time.h"
#include "common/robot/drivers/moteus/moteus_codec.h"
#include "common/robot/drivers/moteus/moteus_trajectory.h"
#include "common/robot/transport/can_port.h"

namespace demorl {

// What a controller is configured with; the defaults are the firmware's, where it has some.
struct EmulatedMoteusOptions {
  int id = 1;
  // Of the plant, that this motor drives.
  int joint = 0;
  uint32_t model = 0x0000;
  uint32_t firmware = 0x010304;
  int register_map = 5;
  double position_kp_nm_rev = 4.0;
  double position_kd_nm_s_rev = 0.05;
  double max_torque_nm = 20.0;
  absl::Duration default_timeout = absl::Milliseconds(100);
  // In mode 11: kStopped, kZeroVelocity or kBrake.
  int timeout_mode = moteus_mode::kZeroVelocity;
  double timeout_max_torque_nm = 5.0;
  // Of the motor with its phases shorted.
  double brake_damping_nm_s_rad = 0.5;
  double minimum_position_rev = -std::numeric_limits<double>::infinity();
  double maximum_position_rev = std::numeric_limits<double>::infinity();
  // How long a stopped motor spends in each of the preparing modes 2 to 4 before it runs.
  absl::Duration preparing_step;
};

// A moteus controller as its bus sees it: registers, the modes stopped, fault, position, timeout, zero
// velocity and brake, the watchdog, faults. Of one thread. Source: mjbots/moteus docs/protocol/registers.md,
// docs/guides/control-modes.md, docs/troubleshooting/timeout-mode-11.md, and fw/bldc_servo_control.h for what
// mode 11 does. Differs: there is no integral term.
class EmulatedMoteus {
 public:
  explicit EmulatedMoteus(const EmulatedMoteusOptions& options) : options_(options) {}

  // Takes a frame off the bus; true if it was for this controller and `reply` holds its answer.
  bool Handle(const CanFrame& frame, absl::Duration now, CanFrame& reply);

  // Feels the joint and returns its torque.
  double Step(absl::Duration now, double position_rad, double velocity_rad_s);

  // Enters mode 1 with this code of register 0x00f, as on a failure of the hardware.
  void SetFault(int code);
  // As after a power cycle.
  void Restart();
  void set_voltage_v(double voltage_v) { voltage_v_ = voltage_v; }
  void set_temperature_c(double temperature_c) { temperature_c_ = temperature_c; }

  const EmulatedMoteusOptions& options() const { return options_; }
  int mode() const { return mode_; }
  double torque_nm() const { return torque_nm_; }

 private:
  // What registers 0x020 to 0x02b hold; writing the mode makes it anew.
  struct Command {
    int mode = moteus_mode::kStopped;
    double position_rev = 0;
    double velocity_rev_s = 0;
    double torque_nm = 0;
    double kp_scale = 1;
    double kd_scale = 1;
    double max_torque_nm = std::numeric_limits<double>::quiet_NaN();
    double stop_position_rev = std::numeric_limits<double>::quiet_NaN();
    double timeout_s = 0;
    double velocity_limit_rev_s = std::numeric_limits<double>::quiet_NaN();
    double acceleration_limit_rev_s2 = std::numeric_limits<double>::quiet_NaN();
    double ilimit_scale = 1;
  };

  static double* CommandRegister(Command& command, uint32_t address);
  uint32_t Write(const MoteusValue& value, bool& has_mode);
  std::optional<double> Read(uint32_t address, MoteusResolution resolution) const;
  void Apply(absl::Duration now);
  bool preparing() const;
  // Goes on from one preparing mode to the next, and from the last to the mode that was asked for.
  void Prepare(absl::Duration now);
  // Enters the mode that was asked for.
  void Run(absl::Duration now);
  void StartPosition(absl::Duration now);
  void CheckWatchdog(absl::Duration now);
  double ModeTorque() const;
  double DampingTorque(double max_torque_nm) const;

  const EmulatedMoteusOptions options_;
  int mode_ = moteus_mode::kStopped;
  int fault_ = 0;
  // As written so far, and as it runs.
  Command written_;
  Command active_;
  MoteusTrajectory trajectory_;
  // When the motor leaves its preparing mode.
  absl::Duration prepared_;
  absl::Duration watchdog_end_ = absl::InfiniteDuration();
  absl::Duration last_step_;
  double position_rev_ = 0;
  double velocity_rev_s_ = 0;
  double torque_nm_ = 0;
  double voltage_v_ = 24;
  double temperature_c_ = 30;
};

}  // namespace demorl
