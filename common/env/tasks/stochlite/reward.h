#pragma once

#include "common/env/tasks/stochlite/task_state.h"

namespace demorl::stochlite {

// Height of a torso, straight down to ground of this slope, that is `level_height_m` from it at right angles.
double HeightOverSlope_m(double level_height_m, const PlaneAngles& ground);

// Height above which StochLite's torso shall be.
double DesiredHeight_m(const PlaneAngles& ground);

// Worth of a step that led to `state`, for a robot that has not fallen; at most 53. `ground` is the true
// slope as far as it is known, `joint_power_w` the sum over joints of |torque x velocity|. Source: the
// authors' stochlite_pybullet_env.py. Differs: a command is really given (in the authors' training all are
// zero, and standing still is best); the height asked for follows from the slope under the robot (theirs is
// that of a wedge which is not there); terms are not rounded to four decimals. Real-time safe.
double StepReward(const TaskState& state, const PlaneAngles& ground, double joint_power_w);

}  // namespace demorl::stochlite
