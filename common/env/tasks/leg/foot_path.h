#pragma once

#include "common/env/tasks/leg/leg_kinematics.h"

namespace demorl {

// The path that the foot follows, by phase [0, 2 pi): half an ellipse. From 0 to pi the foot moves backward
// along the ground, from +half_length to -half_length; from pi to 2 pi it returns through the air, lifted by
// up to `lift`. The position is continuous; the velocity jumps where the foot leaves the ground and touches
// it. Immutable. Real-time safe.
class FootPath {
 public:
  // `base_m`: height of the ground above the hip, thus negative.
  FootPath(double half_length_m, double base_m, double lift_m)
      : half_length_m_(half_length_m), base_m_(base_m), lift_m_(lift_m) {}

  LegVector PositionAt(double phase) const;
  LegVector VelocityAt(double phase, double phase_rate_rad_s) const;

 private:
  double half_length_m_;
  double base_m_;
  double lift_m_;
};

}  // namespace demorl
