#pragma once

#include <string>
#include <vector>

#include "common/env/tasks/stoch2/randomisation.h"
#include "common/tensor/environment_spec.h"

namespace demorl::stoch2 {

inline constexpr double kControlPeriod_s = 0.005;

// One variant of the task.
struct TwinOptions {
  RandomisationOptions randomisation;
  // Of the noise on each angle of the attitude that is observed; the authors' option is 0.04.
  double imu_noise_stddev_rad = 0;
  // Simulation steps of one control step of 5 ms.
  // Differs: the authors' simulator takes 25; as for StochLite, steps of 0.5 ms walk the same.
  int simulation_steps = 10;
};

// The specification of the task under an id.
EnvironmentSpec TwinSpec(std::string environment_id);

struct Stoch2Variant {
  std::string environment_id;
  TwinOptions options;
};

// Stoch2's environment ids, the default first.
std::vector<Stoch2Variant> Stoch2Variants();

}  // namespace demorl::stoch2
