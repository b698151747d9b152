#include "common/env/tasks/stoch2/foot_path.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "common/base/check.h"

namespace demorl::stoch2 {
namespace {

constexpr double kPi = std::numbers::pi;
constexpr double kMaxStep_m = 0.136;
constexpr double kMaxUpShift_m = 0.038;
constexpr double kMaxForwardShift_m = 0.0418;
constexpr double kMaxOutwardShift_m = 0.035;
constexpr double kClearance_m = 0.06;
// Forward shift, as a share of the largest, beyond which lifting is limited.
constexpr double kFreeForwardShift = 0.5619;

double Bounded(double value) { return std::isfinite(value) ? std::clamp(value, -1.0, 1.0) : 0; }

// In [0, 1].
double Share(double value) { return (value + 1) / 2; }

// The largest share of the shift up at a share of the shift forward.
double MaxUpShare(double forward) {
  const double distance = std::abs(forward);
  return distance > kFreeForwardShift ? (distance - 1) / (kFreeForwardShift - 1) : 1;
}

}  // namespace

PerLeg<FootPath> PathsFromAction(std::span<const double> action) {
  DEMORL_CHECK(action.size() == kActionSize);
  PerLeg<FootPath> paths;
  for (int i = 0; i < kNumLegs; ++i) {
    const auto value = [&](int group) { return Bounded(action[group * kNumLegs + i]); };
    const double forward = value(3);
    paths[Index(kActionLegs[i])] = {
        .step_length_m = kMaxStep_m * Share(value(0)),
        .steer_rad = kPi / 2 * value(1),
        .up_shift_m = kMaxUpShift_m * std::min(Share(value(2)), MaxUpShare(forward)),
        .forward_shift_m = kMaxForwardShift_m * forward,
        .outward_shift_m = kMaxOutwardShift_m * value(4)};
  }
  return paths;
}

Vector3 FootOnPath(Leg leg, const FootPath& path, double phase_rad) {
  const double along = path.forward_shift_m - path.step_length_m / 2 * std::cos(phase_rad);
  const double lift = phase_rad <= kPi ? kClearance_m * std::sin(phase_rad) : 0;
  const double outward = IsLeft(leg) ? path.outward_shift_m : -path.outward_shift_m;
  return {along * std::cos(path.steer_rad), along * std::sin(path.steer_rad) + outward,
          kStanceHeight_m + path.up_shift_m + lift};
}

double LegPhase(Leg leg, double gait_phase_rad) {
  const bool with_front_right = leg == Leg::kFrontRight || leg == Leg::kBackLeft;
  return std::fmod(gait_phase_rad + (with_front_right ? 0 : kPi), 2 * kPi);
}

}  // namespace demorl::stoch2
