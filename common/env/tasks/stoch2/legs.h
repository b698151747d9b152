#pragma once

#include "common/env/tasks/stochlite/leg_kinematics.h"
#include "common/env/tasks/stochlite/legs.h"

// Where the legs of Stoch2 are and how long. x forward, y left, z up, legs in StochLite's order.

namespace demorl::stoch2 {

using stochlite::Index;
using stochlite::IsFront;
using stochlite::IsLeft;
using stochlite::kLegs;
using stochlite::kNumLegs;
using stochlite::Leg;
using stochlite::LegJoints;
using stochlite::PerLeg;
using stochlite::Vector3;

// A leg's serial equivalent. The real leg is a linkage of five bars: one motor turns the thigh, the other a
// crank of 0.04 m beside it that turns the shank through a rod. The authors' inverse kinematics solves thigh
// and shank first, as here, and takes the crank's angle from them.
// Differs: knees are driven where they bend, so that stiffness and torque limits act on the knee's angle in
// place of the crank's. Source: the authors' utils/ik_class.py (SlopedTerrainLinearPolicy).
inline constexpr stochlite::LegGeometry kStoch2Leg = {
    .hip_drop_m = 0.035, .thigh_m = 0.12, .shank_m = 0.15015};

// Where a leg's abduction axis passes the thigh's motor, from the torso's origin.
// Differs: positions of the joints in the authors' URDF. Their controller takes the hips to be 0.37 m by
// 0.24 m apart where it estimates the slope, which makes it flatter than it is.
constexpr Vector3 HipPosition_m(Leg leg) {
  return {IsFront(leg) ? 0.11655 : -0.15425, IsLeft(leg) ? 0.11512 : -0.11512, 0.00739};
}

}  // namespace demorl::stoch2
