#pragma once

#include <array>
#include <optional>

namespace demorl {

// One number per joint (hip, knee) or per axis of the leg's plane (x forward, z up).
using LegVector = std::array<double, 2>;

// Which way the knee points when the foot is below the hip. The value is the sign of the knee's angle.
enum class KneeBend : int { kBackward = -1, kForward = 1 };

// The planar two-link leg: the foot's position from the hip is p = -l1 (sin q1, cos q1) - l2 (sin(q1 + q2),
// cos(q1 + q2)), so that the leg hangs straight down at q = 0 and positive angles swing it backward.
// Immutable. Real-time safe.
class LegKinematics {
 public:
  LegKinematics(LegVector link_length_m, KneeBend knee_bend)
      : link_length_m_(link_length_m), knee_bend_(knee_bend) {}

  LegVector FootPosition(const LegVector& joint_position_rad) const;

  // d position / d joint: [axis][joint].
  std::array<LegVector, 2> FootJacobian(const LegVector& joint_position_rad) const;

  LegVector FootVelocity(const LegVector& joint_position_rad, const LegVector& joint_velocity_rad_s) const;

  // Joint positions that put the foot there, with the knee bent as configured; none out of reach.
  std::optional<LegVector> JointPositions(const LegVector& foot_position_m) const;

 private:
  LegVector link_length_m_;
  KneeBend knee_bend_;
};

}  // namespace demorl
