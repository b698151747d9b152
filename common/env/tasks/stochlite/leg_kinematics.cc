#include "common/env/tasks/stochlite/leg_kinematics.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace demorl::stochlite {
namespace {

constexpr double kReachRatio = 0.9;  // authors
// Shortest distance of the foot from the hip's axis within the plane of the leg.
// Differs: the authors keep the foot outside the abduction's circle only, where hip and foot may coincide,
// which no angle of the knee reaches.
constexpr double kMinimumExtension_m = 0.06;

double MaximumReach_m() {
  return kReachRatio * std::hypot(kStochLiteLeg.abduction_m, kStochLiteLeg.thigh_m + kStochLiteLeg.shank_m);
}

}  // namespace

Vector3 GuardFoot(const Vector3& foot_m) {
  auto [x, y, z] = foot_m;
  // Differs: the authors push out first and scale back then, which may end inside the circle again. Pushed
  // out last, the foot stays within the full reach.
  if (const double distance = std::hypot(x, y, z); distance > MaximumReach_m()) {
    const double scale = MaximumReach_m() / distance;
    x *= scale;
    y *= scale;
    z *= scale;
  }
  const double nearest = std::hypot(kStochLiteLeg.abduction_m, kMinimumExtension_m);
  if (const double distance = std::hypot(y, z); distance < nearest) {
    const bool on_axis = distance < 1e-9;
    y = on_axis ? 0 : y * nearest / distance;
    z = on_axis ? -nearest : z * nearest / distance;
  }
  return {x, y, z};
}

LegJoints SolveLeg(const LegGeometry& geometry, Leg leg, const Vector3& foot_m) {
  const auto [x, y, z] = foot_m;
  const double l1 = geometry.thigh_m, l2 = geometry.shank_m, side = geometry.abduction_m;
  // The leg's plane is an abduction length beside the axis; `drop` is measured down within it.
  const double drop = std::sqrt(std::max(y * y + z * z - side * side, 0.0));
  const double inner = std::atan2(drop, side);
  const double abduction = IsLeft(leg) ? inner + std::atan2(y, -z) - std::numbers::pi / 2
                                       : std::numbers::pi / 2 - inner - std::atan2(-y, -z);
  const double extension = drop - geometry.hip_drop_m;
  const double length = std::hypot(x, extension);
  const double hip_cosine = (length * length + l1 * l1 - l2 * l2) / (2 * length * l1);
  const double knee_cosine = (l1 * l1 + l2 * l2 - length * length) / (2 * l1 * l2);
  return {.abduction_rad = abduction,
          .hip_rad = std::atan2(-x, extension) + std::acos(std::clamp(hip_cosine, -1.0, 1.0)),
          .knee_rad = std::acos(std::clamp(knee_cosine, -1.0, 1.0)) - std::numbers::pi};
}

std::array<double, kNumJoints> SolveLegs(const LegGeometry& geometry, const PerLeg<Vector3>& feet_m) {
  std::array<double, kNumJoints> positions_rad;
  for (const Leg leg : kLegs) {
    const LegJoints joints = SolveLeg(geometry, leg, feet_m[Index(leg)]);
    double* position = &positions_rad[kJointsPerLeg * Index(leg)];
    position[0] = joints.abduction_rad;
    position[1] = joints.hip_rad;
    position[2] = joints.knee_rad;
  }
  return positions_rad;
}

Vector3 FootPosition(const LegGeometry& geometry, Leg leg, const LegJoints& joints) {
  const double bend = joints.hip_rad + joints.knee_rad;
  const double x = -geometry.thigh_m * std::sin(joints.hip_rad) - geometry.shank_m * std::sin(bend);
  const double down =
      geometry.hip_drop_m + geometry.thigh_m * std::cos(joints.hip_rad) + geometry.shank_m * std::cos(bend);
  const double side = IsLeft(leg) ? geometry.abduction_m : -geometry.abduction_m;
  const double sine = std::sin(joints.abduction_rad), cosine = std::cos(joints.abduction_rad);
  return {x, side * cosine + down * sine, side * sine - down * cosine};
}

LegJoints SolveLeg(Leg leg, const Vector3& foot_m) { return SolveLeg(kStochLiteLeg, leg, GuardFoot(foot_m)); }

std::array<double, kNumJoints> SolveLegs(const PerLeg<Vector3>& feet_m) {
  PerLeg<Vector3> guarded;
  std::ranges::transform(feet_m, guarded.begin(), GuardFoot);
  return SolveLegs(kStochLiteLeg, guarded);
}

Vector3 FootPosition(Leg leg, const LegJoints& joints) { return FootPosition(kStochLiteLeg, leg, joints); }

Vector3 FootVelocity(Leg leg, const LegJoints& joints, const LegRates& rates) {
  const double bend = joints.hip_rad + joints.knee_rad, bend_rate = rates.hip_rad_s + rates.knee_rad_s;
  const double down =
      kStochLiteLeg.thigh_m * std::cos(joints.hip_rad) + kStochLiteLeg.shank_m * std::cos(bend);
  const double down_rate = -kStochLiteLeg.thigh_m * std::sin(joints.hip_rad) * rates.hip_rad_s -
                           kStochLiteLeg.shank_m * std::sin(bend) * bend_rate;
  const double x_rate = -kStochLiteLeg.thigh_m * std::cos(joints.hip_rad) * rates.hip_rad_s -
                        kStochLiteLeg.shank_m * std::cos(bend) * bend_rate;
  const double side = IsLeft(leg) ? kStochLiteLeg.abduction_m : -kStochLiteLeg.abduction_m;
  const double sine = std::sin(joints.abduction_rad), cosine = std::cos(joints.abduction_rad);
  return {x_rate, (down * cosine - side * sine) * rates.abduction_rad_s + down_rate * sine,
          (side * cosine + down * sine) * rates.abduction_rad_s - down_rate * cosine};
}

}  // namespace demorl::stochlite
