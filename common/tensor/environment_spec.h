#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace demorl {

// The contract between an environment and everything that learns from it.
struct EnvironmentSpec {
  std::string environment_id;
  int observation_size = 0;
  int action_size = 0;
  // Bounds of the environment's own command, one per dimension. Everywhere else an action is normalised to
  // [-1, 1].
  std::vector<double> command_minimum;
  std::vector<double> command_maximum;
  absl::Duration control_period;
  // Steps after which an episode is truncated; 0 for never.
  int max_episode_steps = 0;

  // 64-bit hash over all fields that two sides must agree on, as 16 hexadecimal digits.
  std::string SchemaHash() const;
};

}  // namespace demorl
