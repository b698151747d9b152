#include "common/env/tasks/stoch2/reward.h"

#include <cmath>

#include "common/env/tasks/stochlite/reward.h"

namespace demorl::stoch2 {
namespace {

constexpr double kLevelHeight_m = 0.243;

// 1 where there is no error.
double Bell(double weight, double error) { return std::exp(-weight * error * error); }

}  // namespace

double DesiredHeight_m(const stochlite::PlaneAngles& ground) {
  return stochlite::HeightOverSlope_m(kLevelHeight_m, ground);
}

double StepReward(const TaskState& state, const stochlite::PlaneAngles& ground, double advance_m) {
  return Bell(35, state.attitude.yaw_rad) + Bell(45, state.attitude.pitch_rad - state.plane.pitch_rad) +
         Bell(45, state.attitude.roll_rad - state.plane.roll_rad) +
         Bell(800, stoch2::DesiredHeight_m(ground) - state.height_m) + 100 * advance_m;
}

}  // namespace demorl::stoch2
