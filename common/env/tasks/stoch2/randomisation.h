#pragma once

#include <cstdint>
#include <vector>

#include "common/base/random.h"
#include "common/env/tasks/stochlite/randomisation.h"

namespace demorl::stoch2 {

// What may differ from one episode to the next. Source: the authors' stoch2_pybullet_env.py.
struct RandomisationOptions {
  // The ground rises by one of these.
  std::vector<double> inclines_rad;
  // Towards one of 0, 15, ... 90 degrees to the left of straight ahead, in place of straight ahead.
  bool heading = false;
  // Ground friction N(0.6, 0.08) within 0.55 to 0.8, in place of 0.6, and torque limits N(6.5, 0.4) within 5
  // to 8 N m, in place of 7.
  bool friction = false;
  bool motor_strength = false;
  // 0, 0.05, 0.1 or 0.15 kg at the front and at the back of the torso.
  bool added_mass = false;
  // 0, 60 or 100 N from either side in steps 150 to 155.
  bool push = false;
};

stochlite::Draw DrawEpisode(const RandomisationOptions& options, Random& random);

}  // namespace demorl::stoch2
