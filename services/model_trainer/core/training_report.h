#pragma once

#include <cstdint>
#include <vector>

namespace demorl {

// What one training did.
struct TrainingReport {
  int64_t rows = 0;
  int64_t holdout_rows = 0;
  int passes = 0;
  int64_t gradient_steps = 0;
  // Mean training loss of the last pass.
  double training_loss = 0;
  // Holdout mean squared error per member, of the restored best weights.
  std::vector<double> holdout_errors;
  // Best first.
  std::vector<int> elite_members;
};

}  // namespace demorl
