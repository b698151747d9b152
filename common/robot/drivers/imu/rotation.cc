#include "common/robot/drivers/imu/rotation.h"

#include <cmath>

namespace demorl {

Quaternion AboutAxis(Axis axis, double angle_rad) {
  Quaternion q = {std::cos(angle_rad / 2), 0, 0, 0};
  q[static_cast<int>(axis)] = std::sin(angle_rad / 2);
  return q;
}

Quaternion Product(const Quaternion& a, const Quaternion& b) {
  return {a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3],
          a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
          a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1],
          a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0]};
}

Quaternion Inverse(const Quaternion& q) { return {q[0], -q[1], -q[2], -q[3]}; }

bool Normalise(Quaternion& q) {
  const double length = std::sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
  // Written so that NaN fails it.
  if (!(std::abs(length - 1) < 0.1)) {
    return false;
  }
  for (double& component : q) {
    component /= length;
  }
  return true;
}

std::array<double, 3> RotationVector(const Quaternion& q) {
  const double sine = std::sqrt(q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
  // q and -q are the same rotation; the one with w >= 0 goes the shorter way.
  const double angle = 2 * std::atan2(sine, std::abs(q[0]));
  const double scale = (q[0] < 0 ? -1 : 1) * (sine < 1e-12 ? 2 : angle / sine);
  return {scale * q[1], scale * q[2], scale * q[3]};
}

std::array<std::array<double, 3>, 3> Matrix(const Quaternion& q) {
  const double w = q[0], x = q[1], y = q[2], z = q[3];
  return {{{1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)},
           {2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)},
           {2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)}}};
}

}  // namespace demorl
