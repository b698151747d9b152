#pragma once

#include "common/env/tasks/stochlite/attitude.h"
#include "common/env/tasks/stochlite/legs.h"

namespace demorl::stochlite {

// Slope of the ground as the attitude of a torso that stands level with it.
struct PlaneAngles {
  double roll_rad = 0;
  double pitch_rad = 0;
};

// Of the plane with this upward normal; its length does not matter.
PlaneAngles PlaneFromNormal(const Vector3& normal);

// Height of the plane at (x, y), of one that passes through the origin.
double GroundHeight_m(const PlaneAngles& slope, double x, double y);

// The slope under the robot, from its own feet: the plane spanned by the two diagonals of the stance, each as
// it was when both its feet last stood on the ground. Seen from the heading, so that turning does not change
// what an old diagonal says. Source: the authors' planeEstimation/get_terrain_normal.py. Differs: the authors
// take the feet as commanded and angles about the world's axes, and compare those with the torso's, which are
// the same only without yaw. Feet are given here as the caller knows them, best as measured.
// Thread-compatible, real-time safe.
class PlaneEstimate {
 public:
  // From front left to back right and from front right to back left, in the heading frame.
  struct State {
    Vector3 front_left_m{};
    Vector3 front_right_m{};
  };

  PlaneEstimate() { Reset(); }

  // Level ground.
  void Reset();

  // `feet_m` from the torso's origin along its axes.
  void Update(const PerLeg<Vector3>& feet_m, const PerLeg<bool>& on_ground, const Attitude& attitude);

  PlaneAngles angles() const;

  const State& state() const { return state_; }
  void set_state(const State& state) { state_ = state; }

 private:
  State state_;
};

}  // namespace demorl::stochlite
