#pragma once

// Adam [Kingma and Ba 2015, algorithm 1] and polyak averaging over flat buffers: one pass over memory a step
// instead of one per operation and parameter. The formula and its order of operations are those of
// torch.optim.Adam.

#include <cstdint>
#include <map>
#include <string>

#include "ATen/ATen.h"
#include "absl/strings/string_view.h"

namespace demorl {

struct AdamOptions {
  double learning_rate = 3e-4;
  double first_moment_decay = 0.9;
  double second_moment_decay = 0.999;
  double epsilon = 1e-8;
};

// Moments of one flat parameter buffer of P values. Thread-compatible.
class FlatAdam {
 public:
  FlatAdam(int64_t num_parameters, const AdamOptions& options, at::Device device = at::kCPU);

  // One step in place. parameters_P, gradients_P: float32, contiguous. Gradients are multiplied by
  // `gradient_scale` first (clipping by norm).
  void Step(at::Tensor parameters_P, const at::Tensor& gradients_P, double gradient_scale = 1);

  // As it was before the first step.
  void Reset();

  int64_t num_steps() const { return num_steps_; }
  void set_num_steps(int64_t num_steps) { num_steps_ = num_steps; }

  // The moments as "<prefix>.first_moment" and "<prefix>.second_moment", shared, not copied: with num_steps
  // this is the whole state (see TorchState).
  std::map<std::string, at::Tensor> Tensors(absl::string_view prefix) const;

 private:
  AdamOptions options_;
  at::Tensor first_moment_P_;
  at::Tensor second_moment_P_;
  int64_t num_steps_ = 0;
};

// target += tau * (source - target), in place. tau weighs the new value.
void PolyakAverage(at::Tensor target_P, const at::Tensor& source_P, double tau);

}  // namespace demorl
