#pragma once

#include <array>

#include "common/env/tasks/stochlite/legs.h"

// Kinematics of a leg: abduction about x, then hip and knee about y in the plane of the leg. Feet are given
// from the hip, that is from the abduction axis, along the torso's axes. A straight leg hangs at joint angles
// of zero. Source, for StochLite's: the authors' controller (DMD-MPC-RL, stoch_env/utils/ik_class.py and
// walking_controller.py). Pure and real-time safe.

namespace demorl::stochlite {

struct LegGeometry {
  // From the abduction axis out to the plane of the leg, and from there down to the hip's axis.
  double abduction_m = 0;
  double hip_drop_m = 0;
  double thigh_m = 0;
  double shank_m = 0;
};

inline constexpr LegGeometry kStochLiteLeg = {.abduction_m = 0.096, .thigh_m = 0.146, .shank_m = 0.172};

struct LegJoints {
  double abduction_rad = 0;
  double hip_rad = 0;
  double knee_rad = 0;

  friend bool operator==(const LegJoints&, const LegJoints&) = default;
};

// How fast they turn.
struct LegRates {
  double abduction_rad_s = 0;
  double hip_rad_s = 0;
  double knee_rad_s = 0;
};

// Joint angles that bring the foot to `foot_m`, or as near as the knee's angle allows; the knee bends
// backwards.
LegJoints SolveLeg(const LegGeometry& geometry, Leg leg, const Vector3& foot_m);

// The same for all legs at once, in the order of kJointNames.
std::array<double, kNumJoints> SolveLegs(const LegGeometry& geometry, const PerLeg<Vector3>& feet_m);

// Where the foot is.
Vector3 FootPosition(const LegGeometry& geometry, Leg leg, const LegJoints& joints);

// Of StochLite's leg, the reachable position nearest in kind to `foot_m`: inside 0.9 of the longest reach,
// and so far from the abduction axis that the leg need not fold onto itself.
Vector3 GuardFoot(const Vector3& foot_m);

// Joint angles that bring StochLite's foot to GuardFoot(foot_m).
LegJoints SolveLeg(Leg leg, const Vector3& foot_m);

// The same for all legs at once.
std::array<double, kNumJoints> SolveLegs(const PerLeg<Vector3>& feet_m);

// Where StochLite's foot is.
Vector3 FootPosition(Leg leg, const LegJoints& joints);

// How fast StochLite's foot moves, along the torso's axes; m/s.
Vector3 FootVelocity(Leg leg, const LegJoints& joints, const LegRates& rates);

}  // namespace demorl::stochlite
