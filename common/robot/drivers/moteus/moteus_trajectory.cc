#include "common/robot/drivers/moteus/moteus_trajectory.h"

#include <algorithm>
#include <cmath>

namespace demorl {
namespace {

// servo.velocity_zero_capture_threshold: a slower joint starts from rest.
constexpr double kRestVelocity_rev_s = 0.05;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double Bound(double limit) { return limit >= 0 ? limit : kInfinity; }

}  // namespace

void MoteusTrajectory::Start(const MoteusMotion& motion, double measured_position_rev,
                             double measured_velocity_rev_s) {
  if (!active_) {
    position_rev_ = measured_position_rev;
    velocity_rev_s_ = std::abs(measured_velocity_rev_s) < kRestVelocity_rev_s ? 0 : measured_velocity_rev_s;
  }
  active_ = true;
  motion_ = motion;
  velocity_limit_rev_s_ = Bound(motion.velocity_limit_rev_s);
  acceleration_limit_rev_s2_ = Bound(motion.acceleration_limit_rev_s2);
  motion_.velocity_rev_s =
      std::isnan(motion.velocity_rev_s)
          ? 0
          : std::clamp(motion.velocity_rev_s, -velocity_limit_rev_s_, velocity_limit_rev_s_);
  done_ = std::isinf(velocity_limit_rev_s_) && std::isinf(acceleration_limit_rev_s2_);
  if (done_) {
    position_rev_ = std::isnan(motion.position_rev) ? position_rev_ : motion.position_rev;
    velocity_rev_s_ = motion_.velocity_rev_s;
  }
}

void MoteusTrajectory::Move(double duration_s, double acceleration_rev_s2) {
  position_rev_ += (velocity_rev_s_ + acceleration_rev_s2 * duration_s / 2) * duration_s;
  velocity_rev_s_ += acceleration_rev_s2 * duration_s;
  motion_.position_rev += motion_.velocity_rev_s * duration_s;
}

double MoteusTrajectory::Accelerate(double time_s, double velocity_rev_s) {
  const double change = velocity_rev_s - velocity_rev_s_;
  const double duration_s = change == 0 ? 0 : std::abs(change) / acceleration_limit_rev_s2_;
  if (duration_s > time_s) {
    Move(time_s, std::copysign(acceleration_limit_rev_s2_, change));
    return 0;
  }
  if (duration_s > 0) {
    Move(duration_s, change / duration_s);
  }
  velocity_rev_s_ = velocity_rev_s;
  return time_s - duration_s;
}

// Of the fastest motion, from the goal's, on its way to `side` of where it would stop if it braked now.
double MoteusTrajectory::PeakVelocity(double side) const {
  const double velocity = velocity_rev_s_ - motion_.velocity_rev_s;
  const double way = side * (motion_.position_rev - position_rev_);
  const double limit = velocity_limit_rev_s_ - side * motion_.velocity_rev_s;
  if (std::isinf(acceleration_limit_rev_s2_)) {
    return way > 0 ? limit : 0;
  }
  // The square may fall below 0 by rounding where the way is just what braking takes.
  const double square = std::max(acceleration_limit_rev_s2_ * way + velocity * velocity / 2, 0.0);
  return std::min(std::sqrt(square), limit);
}

// Everything as seen from the goal, which moves with the velocity asked for: the motion shall end there at
// rest. It speeds up towards a peak, goes on at the limit, slows down.
double MoteusTrajectory::Approach(double time_s) {
  const double velocity = velocity_rev_s_ - motion_.velocity_rev_s;
  const double braking = velocity * std::abs(velocity) / (2 * acceleration_limit_rev_s2_);
  const double side = motion_.position_rev - position_rev_ < braking ? -1 : 1;
  const double peak = PeakVelocity(side);
  time_s = Accelerate(time_s, motion_.velocity_rev_s + side * peak);
  const double left =
      side * (motion_.position_rev - position_rev_) - peak * peak / (2 * acceleration_limit_rev_s2_);
  if (time_s > 0 && left > 0) {
    // For ever, if the limit leaves nothing to catch up with.
    const double duration_s = std::min(left / peak, time_s);
    Move(duration_s, 0);
    time_s -= duration_s;
  }
  return time_s > 0 ? Accelerate(time_s, motion_.velocity_rev_s) : 0;
}

void MoteusTrajectory::Advance(double elapsed_s) {
  if (!active_ || !(elapsed_s > 0)) {
    return;
  }
  if (!done_) {
    const bool has_goal = !std::isnan(motion_.position_rev);
    elapsed_s = has_goal ? Approach(elapsed_s) : Accelerate(elapsed_s, motion_.velocity_rev_s);
    done_ = velocity_rev_s_ == motion_.velocity_rev_s && (!has_goal || elapsed_s > 0);
    if (done_ && has_goal) {
      position_rev_ = motion_.position_rev;
    }
  }
  Move(elapsed_s, 0);
  StopAtStopPosition();
}

void MoteusTrajectory::StopAtStopPosition() {
  if ((position_rev_ - motion_.stop_position_rev) * velocity_rev_s_ > 0) {
    position_rev_ = motion_.stop_position_rev;
    velocity_rev_s_ = motion_.velocity_rev_s = 0;
  }
}

}  // namespace demorl
