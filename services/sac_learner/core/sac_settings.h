#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace demorl {

// SacConfig with its defaults resolved.
struct SacSettings {
  int observation_size = 0;
  int action_size = 0;
  uint64_t seed = 0;
  std::string device = "cpu";
  double discount = 0.99;
  double tau = 0.005;
  double learning_rate = 3e-4;
  std::vector<int64_t> hidden_sizes = {256, 256};
  double log_stddev_min = -20;
  double log_stddev_max = 2;
  double initial_entropy_temperature = 1;
  bool learn_entropy_temperature = true;
  double target_entropy = 0;
  double reward_scale = 1;
  int target_update_interval = 1;
  bool value_network = false;
  bool critic_layer_norm = false;
  double max_gradient_norm = 0;
  int max_non_finite = 10;
  int num_threads = 2;
};

}  // namespace demorl
