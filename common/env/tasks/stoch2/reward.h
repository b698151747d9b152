#pragma once

#include "common/env/tasks/stochlite/attitude.h"
#include "common/env/tasks/stochlite/plane_estimate.h"

namespace demorl::stoch2 {

// What a step's worth depends on.
struct TaskState {
  // Yaw from the world's x axis, along which the robot shall walk.
  stochlite::Attitude attitude;
  stochlite::PlaneAngles plane;
  // Of the torso's origin straight down to the ground.
  // Differs: the authors' z is the world's.
  double height_m = 0;
};

// Height above which the torso shall be, straight down to ground of this slope.
double DesiredHeight_m(const stochlite::PlaneAngles& ground);

// Worth of a step that led to `state` and `advance_m` along the world's x, for a robot that has not fallen:
// at most 4, and 100 for each metre. `ground` is the true slope. Source: the authors' stoch2_pybullet_env.py.
// Differs: the height asked for follows from the slope under the robot, where the authors' leaves out the way
// that it went to the side; terms are not rounded. Real-time safe.
double StepReward(const TaskState& state, const stochlite::PlaneAngles& ground, double advance_m);

}  // namespace demorl::stoch2
