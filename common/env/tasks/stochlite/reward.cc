#include "common/env/tasks/stochlite/reward.h"

#include <cmath>

namespace demorl::stochlite {
namespace {

constexpr double kLevelHeight_m = 0.25;

double Square(double value) { return value * value; }

}  // namespace

double HeightOverSlope_m(double level_height_m, const PlaneAngles& ground) {
  // The cosine of the incline is that of roll and pitch multiplied.
  return level_height_m / (std::cos(ground.roll_rad) * std::cos(ground.pitch_rad));
}

double DesiredHeight_m(const PlaneAngles& ground) { return HeightOverSlope_m(kLevelHeight_m, ground); }

double StepReward(const TaskState& state, const PlaneAngles& ground, double joint_power_w) {
  const double level = std::exp(-45 * Square(state.attitude.roll_rad - state.plane.roll_rad)) +
                       std::exp(-45 * Square(state.attitude.pitch_rad - state.plane.pitch_rad));
  const double height = std::exp(-100 * std::abs(DesiredHeight_m(ground) - state.height_m));
  const double velocity = std::exp(-5 * (Square(state.velocity_m_s[0] - state.command.forward_m_s) +
                                         Square(state.velocity_m_s[1] - state.command.lateral_m_s)));
  const double turning = std::exp(-Square(state.angular_velocity_rad_s[2] - state.command.yaw_rate_rad_s));
  const double steady = std::exp(-100 * Square(state.angular_velocity_rad_s[0])) +
                        std::exp(-100 * Square(state.angular_velocity_rad_s[1]));
  return level + 20 * height + 15 * velocity + 10 * turning + 3 * steady - joint_power_w / 20;
}

}  // namespace demorl::stochlite
