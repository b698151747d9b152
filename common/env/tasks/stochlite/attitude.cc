#include "common/env/tasks/stochlite/attitude.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace demorl::stochlite {

Attitude AttitudeFromQuaternion(std::span<const double, 4> quaternion) {
  const double w = quaternion[0], x = quaternion[1], y = quaternion[2], z = quaternion[3];
  return {.roll_rad = std::atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y)),
          .pitch_rad = std::asin(std::clamp(2 * (w * y - z * x), -1.0, 1.0)),
          .yaw_rad = std::atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))};
}

Vector3 TorsoToHeading(const Attitude& attitude, const Vector3& vector) {
  const double sine_roll = std::sin(attitude.roll_rad), cosine_roll = std::cos(attitude.roll_rad);
  const double sine_pitch = std::sin(attitude.pitch_rad), cosine_pitch = std::cos(attitude.pitch_rad);
  const double y = cosine_roll * vector[1] - sine_roll * vector[2];
  const double z = sine_roll * vector[1] + cosine_roll * vector[2];
  return {cosine_pitch * vector[0] + sine_pitch * z, y, -sine_pitch * vector[0] + cosine_pitch * z};
}

Vector3 TurnAboutVertical(const Vector3& vector, double angle_rad) {
  const double sine = std::sin(angle_rad), cosine = std::cos(angle_rad);
  return {cosine * vector[0] - sine * vector[1], sine * vector[0] + cosine * vector[1], vector[2]};
}

double WrapAngle(double angle_rad) { return std::remainder(angle_rad, 2 * std::numbers::pi); }

}  // namespace demorl::stochlite
