#include "common/env/tasks/stochlite/gait_action.h"

#include <algorithm>
#include <cmath>

#include "common/base/check.h"

namespace demorl::stochlite {
namespace {

constexpr double kShiftRange_m = 0.1;
// Feet stand this far outside their hips.
constexpr double kStanceOffset_m = 0.05;

double StanceOffset_m(Leg leg) { return IsLeft(leg) ? kStanceOffset_m : -kStanceOffset_m; }

double Bounded(double value) { return std::isfinite(value) ? std::clamp(value, -1.0, 1.0) : 0; }

}  // namespace

Gait GaitFromAction(std::span<const double> action) {
  DEMORL_CHECK(action.size() == kActionSize);
  Gait gait;
  for (const Leg leg : kLegs) {
    const int i = Index(leg);
    gait.shift_m[i] = {kShiftRange_m * Bounded(action[i]),
                       kShiftRange_m * Bounded(action[kNumLegs + i]) + StanceOffset_m(leg),
                       kShiftRange_m * Bounded(action[2 * kNumLegs + i])};
  }
  gait.forward_m_s = kMaxForward_m_s * Bounded(action[12]);
  gait.lateral_m_s = kMaxLateral_m_s * Bounded(action[13]);
  gait.yaw_rate_rad_s = kMaxYawRate_rad_s * Bounded(action[14]);
  return gait;
}

std::array<double, kActionSize> ActionFromGait(const Gait& gait) {
  std::array<double, kActionSize> action;
  for (const Leg leg : kLegs) {
    const int i = Index(leg);
    action[i] = gait.shift_m[i][0] / kShiftRange_m;
    action[kNumLegs + i] = (gait.shift_m[i][1] - StanceOffset_m(leg)) / kShiftRange_m;
    action[2 * kNumLegs + i] = gait.shift_m[i][2] / kShiftRange_m;
  }
  action[12] = gait.forward_m_s / kMaxForward_m_s;
  action[13] = gait.lateral_m_s / kMaxLateral_m_s;
  action[14] = gait.yaw_rate_rad_s / kMaxYawRate_rad_s;
  return action;
}

}  // namespace demorl::stochlite
