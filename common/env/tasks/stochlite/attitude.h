#pragma once

#include <span>

#include "common/env/tasks/stochlite/legs.h"

namespace demorl::stochlite {

// Orientation of the torso: R = Rz(yaw) Ry(pitch) Rx(roll), so that a positive pitch lowers the nose.
struct Attitude {
  double roll_rad = 0;
  double pitch_rad = 0;
  double yaw_rad = 0;
};

// Of a unit quaternion (w, x, y, z).
Attitude AttitudeFromQuaternion(std::span<const double, 4> quaternion);

// A vector along the torso's axes, seen from its heading: z up, x forward on the level.
Vector3 TorsoToHeading(const Attitude& attitude, const Vector3& vector);

// `vector` turned about z by `angle_rad`.
Vector3 TurnAboutVertical(const Vector3& vector, double angle_rad);

// Into [-pi, pi].
double WrapAngle(double angle_rad);

}  // namespace demorl::stochlite
