#pragma once

#include <array>

#include "common/base/random.h"
#include "common/env/tasks/stochlite/task_state.h"

namespace demorl::stochlite {

// What may differ from one episode to the next; on a robot, the command alone.
struct RandomisationOptions {
  // The ground's incline is uniform up to this, its direction any; 0 for `slope` as it stands.
  double max_incline_rad = 0;
  PlaneAngles slope;
  // The forward command is uniform between these.
  double min_forward_m_s = 0.5;
  double max_forward_m_s = 0.5;
  // Ground friction N(0.6, 0.08) within 0.55 to 0.8, in place of 0.8, and torque limits N(6.5, 0.4) within 5
  // to 8 N m, in place of 7: the authors' figures.
  bool friction = false;
  bool motor_strength = false;
  // Up to 0.15 kg at the torso's centre of mass; the authors' figure for Stoch2.
  bool added_mass = false;
  // One push of 30 ms from the side, of up to 40 N at any time; own figures.
  bool push = false;
};

// One episode's draw.
struct Draw {
  PlaneAngles slope;
  VelocityCommand command;
  double friction = 0.8;
  double torque_limit_nm = 7;
  // On the bodies of the robot's model that are loaded, see QuadrupedBody.
  std::array<double, 2> added_mass_kg{};
  double push_n = 0;
  double push_time_s = 0;
};

// The authors' figures for any of their robots, see above.
double DrawFriction(Random& random);
double DrawTorqueLimit_nm(Random& random);

// The plane of this incline, which falls towards `direction_rad`.
PlaneAngles InclinedPlane(double incline_rad, double direction_rad);

// Real-time safe.
Draw DrawEpisode(const RandomisationOptions& options, Random& random);

// The force from the side at `time_s` of the episode.
double PushAt(const Draw& draw, double time_s);

}  // namespace demorl::stochlite
