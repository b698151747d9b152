#include "common/env/tasks/stochlite/gait_action.h"

#include <algorithm>
#include <cmath>

#include "common/base/check.h"

namespace demorl::stochlite {
namespace {

constexpr double kShiftRange_m = 0.1;
// Feet stand this far outside their hips.
constexpr double kStanceOffset_m = 0.05;

double Bounded(double value) { return std::isfinite(value) ? std::clamp(value, -1.0, 1.0) : 0; }

}  // namespace

Gait GaitFromAction(std::span<const double> action) {
  DEMORL_CHECK(action.size() == kActionSize);
  Gait gait;
  for (const Leg leg : kLegs) {
    const int i = Index(leg);
    const double outside = IsLeft(leg) ? kStanceOffset_m : -kStanceOffset_m;
    gait.shift_m[i] = {kShiftRange_m * Bounded(action[i]),
                       kShiftRange_m * Bounded(action[kNumLegs + i]) + outside,
                       kShiftRange_m * Bounded(action[2 * kNumLegs + i])};
  }
  gait.forward_m_s = kMaxForward_m_s * Bounded(action[12]);
  gait.lateral_m_s = kMaxLateral_m_s * Bounded(action[13]);
  gait.yaw_rate_rad_s = kMaxYawRate_rad_s * Bounded(action[14]);
  return gait;
}

}  // namespace demorl::stochlite
