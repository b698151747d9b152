#pragma once

// Learned termination rule, for tasks that have no known one: a logistic perceptron (2 hidden layers of 64,
// ReLU) on the next observation.

#include <cstdint>
#include <functional>
#include <vector>

#include "ATen/ATen.h"
#include "absl/status/status.h"
#include "common/policy/safetensors.h"
#include "common/rl/torch_state.h"

namespace demorl {

struct TerminationFitOptions {
  double learning_rate = 1e-3;
  int batch_size = 256;
  double holdout_ratio = 0.2;
  int patience = 5;
  int max_passes = 100;
  uint64_t seed = 0;
  // Asked between batches; true gives up (CANCELLED). May be empty.
  std::function<bool()> should_stop;
};

// Thread-compatible. Deterministic given options and rows.
class TerminationClassifier {
 public:
  // Answers false everywhere until it is fitted.
  explicit TerminationClassifier(int64_t observation_size);

  // Fits from scratch to next observations [N, O] with `terminated` [N], each class weighing the same, until
  // the loss on held-out rows stops improving. Rows without a termination give the classifier that is always
  // false, rows that all terminate the one that is always true. DATA_LOSS if a loss is not finite; the
  // classifier is as before then.
  absl::Status Fit(const at::Tensor& next_observations_NO, const std::vector<uint8_t>& terminated,
                   const TerminationFitOptions& options);

  // 1 where the episode has terminated.
  std::vector<uint8_t> Predict(const at::Tensor& next_observations_NO) const;

  // Adds "termination.<l>.weight" [in, out] and "termination.<l>.bias"; the normaliser of the inputs is
  // folded into the first layer.
  void Export(TensorFile* file) const;

  // Adds to a state, and restores from one.
  void AddTo(TorchState* state) const;
  absl::Status SetState(const TorchState& state);

 private:
  std::vector<at::Tensor> weights_XY_;
  std::vector<at::Tensor> biases_Y_;
};

}  // namespace demorl
