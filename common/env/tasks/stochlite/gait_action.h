#pragma once

#include <array>
#include <span>

#include "common/env/tasks/stochlite/legs.h"

namespace demorl::stochlite {

// Differs: the authors declare 20 actions and use 15 of them; the rest is free noise for the learner.
inline constexpr int kActionSize = 15;

// The velocities that an action of 1 stands for; a velocity command is normalised by them as well.
inline constexpr double kMaxForward_m_s = 0.5;
inline constexpr double kMaxLateral_m_s = 0.25;
inline constexpr double kMaxYawRate_rad_s = 2.0;

// How the trot generator is to walk.
struct Gait {
  // Where a foot's path lies, from the hip; z on top of the generator's own height.
  PerLeg<Vector3> shift_m{};
  double forward_m_s = 0;
  double lateral_m_s = 0;
  double yaw_rate_rad_s = 0;
};

// What `action` [15] in [-1, 1] asks for: X-shifts, Y-shifts, Z-shifts by leg, then forward, lateral and yaw.
// Values outside are clipped, non-finite ones count as 0. Source: the authors' stochlite_pybullet_env.py.
Gait GaitFromAction(std::span<const double> action);

// The action that asks for `gait`.
std::array<double, kActionSize> ActionFromGait(const Gait& gait);

}  // namespace demorl::stochlite
