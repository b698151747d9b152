#include "common/env/tasks/leg/leg_kinematics.h"

#include <cmath>

namespace demorl {

LegVector LegKinematics::FootPosition(const LegVector& joint_position_rad) const {
  const auto [thigh, shank] = link_length_m_;
  const double hip = joint_position_rad[0], sum = joint_position_rad[0] + joint_position_rad[1];
  return {-thigh * std::sin(hip) - shank * std::sin(sum), -thigh * std::cos(hip) - shank * std::cos(sum)};
}

std::array<LegVector, 2> LegKinematics::FootJacobian(const LegVector& joint_position_rad) const {
  const auto [thigh, shank] = link_length_m_;
  const double hip = joint_position_rad[0], sum = joint_position_rad[0] + joint_position_rad[1];
  const double shank_x = -shank * std::cos(sum), shank_z = shank * std::sin(sum);
  return {{{-thigh * std::cos(hip) + shank_x, shank_x}, {thigh * std::sin(hip) + shank_z, shank_z}}};
}

LegVector LegKinematics::FootVelocity(const LegVector& joint_position_rad,
                                      const LegVector& joint_velocity_rad_s) const {
  const auto jacobian = FootJacobian(joint_position_rad);
  LegVector velocity;
  for (int axis = 0; axis < 2; ++axis) {
    velocity[axis] =
        jacobian[axis][0] * joint_velocity_rad_s[0] + jacobian[axis][1] * joint_velocity_rad_s[1];
  }
  return velocity;
}

std::optional<LegVector> LegKinematics::JointPositions(const LegVector& foot_position_m) const {
  const auto [thigh, shank] = link_length_m_;
  const auto [x, z] = foot_position_m;
  const double cosine = (x * x + z * z - thigh * thigh - shank * shank) / (2 * thigh * shank);
  if (!(std::abs(cosine) <= 1)) {
    return std::nullopt;
  }
  const double knee = static_cast<int>(knee_bend_) * std::acos(cosine);
  const double hip = std::atan2(-x, -z) - std::atan2(shank * std::sin(knee), thigh + shank * std::cos(knee));
  return LegVector{hip, knee};
}

}  // namespace demorl
