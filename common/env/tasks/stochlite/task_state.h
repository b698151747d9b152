#pragma once

#include "common/env/tasks/stochlite/attitude.h"
#include "common/env/tasks/stochlite/gait_action.h"
#include "common/env/tasks/stochlite/legs.h"
#include "common/env/tasks/stochlite/plane_estimate.h"

namespace demorl::stochlite {

// How the robot is asked to walk. Forward is the commanded heading: straight ahead of the robot when the
// episode began, turned since by the commanded yaw rate. Differs: the authors' velocities are the world's,
// which is the same as long as no yaw rate is commanded.
struct VelocityCommand {
  double forward_m_s = 0;
  double lateral_m_s = 0;
  double yaw_rate_rad_s = 0;
};

// What the task looks at, at a control step; in a simulation the truth, on a robot as well as it is known.
struct TaskState {
  // Of the torso's origin, straight down to the ground.
  // Differs: the authors' z is that of the world, which on a slope grows with the distance walked.
  double height_m = 0;
  // Yaw from the commanded heading.
  Attitude attitude;
  // Along the commanded heading, to its left, up.
  Vector3 velocity_m_s{};
  // About the same axes.
  Vector3 angular_velocity_rad_s{};
  PlaneAngles plane;
  VelocityCommand command;
  // Phase of the trot, of the front left leg.
  double gait_phase_rad = 0;
  // As the trot generator follows it.
  Gait gait;
};

}  // namespace demorl::stochlite
