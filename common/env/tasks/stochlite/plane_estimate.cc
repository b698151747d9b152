#include "common/env/tasks/stochlite/plane_estimate.h"

#include <algorithm>
#include <cmath>

namespace demorl::stochlite {
namespace {

Vector3 Difference(const Vector3& a, const Vector3& b) { return {a[0] - b[0], a[1] - b[1], a[2] - b[2]}; }

Vector3 Cross(const Vector3& a, const Vector3& b) {
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

}  // namespace

PlaneAngles PlaneFromNormal(const Vector3& normal) {
  const double length = std::hypot(normal[0], normal[1], normal[2]);
  if (length < 1e-9) {
    return {};
  }
  return {.roll_rad = -std::asin(std::clamp(normal[1] / length, -1.0, 1.0)),
          .pitch_rad = std::atan2(normal[0], normal[2])};
}

double GroundHeight_m(const PlaneAngles& slope, double x, double y) {
  return -std::tan(slope.pitch_rad) * x + std::tan(slope.roll_rad) / std::cos(slope.pitch_rad) * y;
}

void PlaneEstimate::Reset() {
  const Vector3 front_left = HipOffset(Leg::kFrontLeft), front_right = HipOffset(Leg::kFrontRight);
  state_.front_left_m = Difference(front_left, HipOffset(Leg::kBackRight));
  state_.front_right_m = Difference(front_right, HipOffset(Leg::kBackLeft));
}

void PlaneEstimate::Update(const PerLeg<Vector3>& feet_m, const PerLeg<bool>& on_ground,
                           const Attitude& attitude) {
  const auto remember = [&](Leg front, Leg back, Vector3* diagonal) {
    if (on_ground[Index(front)] && on_ground[Index(back)]) {
      *diagonal = TorsoToHeading(attitude, Difference(feet_m[Index(front)], feet_m[Index(back)]));
    }
  };
  remember(Leg::kFrontLeft, Leg::kBackRight, &state_.front_left_m);
  remember(Leg::kFrontRight, Leg::kBackLeft, &state_.front_right_m);
}

PlaneAngles PlaneEstimate::angles() const {
  Vector3 normal = Cross(state_.front_right_m, state_.front_left_m);
  if (normal[2] < 0) {
    normal = {-normal[0], -normal[1], -normal[2]};
  }
  return PlaneFromNormal(normal);
}

}  // namespace demorl::stochlite
