#pragma once

#include <limits>
#include <optional>

namespace demorl {

// What a position command of a moteus asks of its motion. NaN: of the position, wherever it is; of a limit,
// none, and so does a negative one.
struct MoteusMotion {
  double position_rev = std::numeric_limits<double>::quiet_NaN();
  // At the position, and from then on.
  double velocity_rev_s = 0;
  double velocity_limit_rev_s = std::numeric_limits<double>::quiet_NaN();
  double acceleration_limit_rev_s2 = std::numeric_limits<double>::quiet_NaN();
  // The motion ends here; knows no limits.
  double stop_position_rev = std::numeric_limits<double>::quiet_NaN();
};

// The control position and velocity of a moteus in position mode: at once what the command asks for, or, with
// limits, in the shortest time that they leave: faster, steadily on, slower. Of one thread. Source:
// mjbots/moteus docs/guides/control-modes.md; fw/bldc_servo_position.h for what is kept from one command to
// the next. Differs: exact for any step, where the firmware decides anew 30,000 times a second.
class MoteusTrajectory {
 public:
  // `measured_*` is where it starts if nothing was controlled before.
  void Start(const MoteusMotion& motion, double measured_position_rev, double measured_velocity_rev_s);
  // The motor is no longer controlled.
  void Stop() { *this = {}; }

  void Advance(double elapsed_s);

  bool active() const { return active_; }
  double position_rev() const { return position_rev_; }
  double velocity_rev_s() const { return velocity_rev_s_; }
  // Whether position and velocity are what was asked for.
  bool done() const { return active_ && done_; }

 private:
  // For a time at a constant acceleration.
  void Move(double duration_s, double acceleration_rev_s2);
  // Returns what is left of `time_s` once the velocity was reached.
  double Accelerate(double time_s, double velocity_rev_s);
  // Towards the position; returns what is left of `time_s` once it was reached.
  double Approach(double time_s);
  double PeakVelocity(double side) const;
  void StopAtStopPosition();

  bool active_ = false;
  bool done_ = false;
  // The position moves on with its velocity.
  MoteusMotion motion_;
  double velocity_limit_rev_s_ = std::numeric_limits<double>::infinity();
  double acceleration_limit_rev_s2_ = std::numeric_limits<double>::infinity();
  double position_rev_ = 0;
  double velocity_rev_s_ = 0;
};

}  // namespace demorl
