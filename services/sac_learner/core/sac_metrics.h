#pragma once

namespace demorl {

// Figures of one update.
struct SacMetrics {
  // Sum over the q functions of half their mean squared error.
  double critic_loss = 0;
  double policy_loss = 0;
  double entropy_temperature = 0;
  double entropy_temperature_loss = 0;
  double mean_q = 0;
  // Of the policy, estimated on the batch, in nats.
  double entropy = 0;
  // Half the mean squared error of the V network; 0 without one.
  double value_loss = 0;
};

}  // namespace demorl
