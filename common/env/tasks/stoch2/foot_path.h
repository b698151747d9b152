#pragma once

#include <array>
#include <span>

#include "common/env/tasks/stoch2/legs.h"

// How an action makes the feet of Stoch2 go round. Source: the authors' stoch2_pybullet_env.py and
// walking_controller.py (SlopedTerrainLinearPolicy). Pure and real-time safe.

namespace demorl::stoch2 {

inline constexpr int kActionSize = 20;
inline constexpr double kGaitFrequency_hz = 2.5;
// Of the feet in stance from the abduction axes, without a shift.
inline constexpr double kStanceHeight_m = -0.244;

// The legs in the order of an action's groups.
inline constexpr std::array<Leg, stochlite::kNumLegs> kActionLegs = {Leg::kFrontRight, Leg::kFrontLeft,
                                                                     Leg::kBackRight, Leg::kBackLeft};

// Half an ellipse in the air, and back along the ground.
struct FootPath {
  double step_length_m = 0;
  // Direction of the step from straight ahead, to the left.
  double steer_rad = 0;
  // Where the path lies.
  double up_shift_m = 0;
  double forward_shift_m = 0;
  // Away from the body.
  double outward_shift_m = 0;

  friend bool operator==(const FootPath&, const FootPath&) = default;
};

// What `action` [20] in [-1, 1] asks for: step lengths, steer angles, shifts up, forward and outward, each
// for the legs of kActionLegs. A foot shifted far forward or back is not lifted as far, so that it stays in
// reach. Values outside are clipped, non-finite ones count as 0.
PerLeg<FootPath> PathsFromAction(std::span<const double> action);

// Where the foot is at a phase of its own in [0, 2 pi), from the hip: in the air until pi.
Vector3 FootOnPath(Leg leg, const FootPath& path, double phase_rad);

// Phase of a leg in a trot, diagonal legs together; `gait_phase_rad` that of the front right leg.
double LegPhase(Leg leg, double gait_phase_rad);

}  // namespace demorl::stoch2
