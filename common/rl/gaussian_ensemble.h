#pragma once

// Probabilistic ensemble of K networks, trained together: [observation, action] to mean and log variance of
// [reward, change of observation]. Source: Chua et al. 2018, "Deep Reinforcement Learning in a Handful of
// Trials using Probabilistic Dynamics Models" (PETS), with the settings of MBPO [Janner et al. 2019]. The
// gradients are written out; nothing here records them automatically.
//
// Shapes: K members, B rows, I inputs, H_l units of hidden layer l, D outputs, N rows of a data set.

#include <cstdint>
#include <vector>

#include "ATen/ATen.h"
#include "absl/status/status.h"
#include "common/base/random.h"
#include "common/policy/safetensors.h"
#include "common/rl/flat_adam.h"
#include "common/rl/torch_state.h"

namespace demorl {

struct EnsembleOptions {
  int64_t num_members = 7;
  int64_t inputs = 0;
  // D: means; the last layer is twice as wide.
  int64_t outputs = 0;
  std::vector<int64_t> hidden_sizes = {200, 200, 200, 200};
  // c_l of each layer, output layer last: the loss has c_l / 2 ||W_l||^2.
  std::vector<double> weight_decay = {2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4};
  double learning_rate = 1e-3;
  // Soft bounds of the log variance, where they start or stay.
  bool learn_log_variance_bounds = true;
  double log_variance_max = 0.5;
  double log_variance_min = -10;
  double log_variance_bound_penalty = 0.01;
  // Whether targets are trained on in units of their own stddev. Differs: MBPO's code trains on raw targets.
  // There a reward or an angle that changes by some hundredths lies beside velocities that change by ten, its
  // log variance stays at the upper bound, and what the model draws for it is noise; also the holdout error,
  // which picks members and ends the training, is then that of the velocities alone.
  bool normalise_targets = true;
};

// Thread-compatible. The same seed and the same batches give the same weights, bit by bit.
class GaussianEnsemble {
 public:
  // Weights from a normal distribution of stddev 1 / (2 sqrt(fan in)) cut at two stddevs, biases 0.
  GaussianEnsemble(const EnsembleOptions& options, Random& random, at::Device device = at::kCPU);

  const EnsembleOptions& options() const { return options_; }
  at::Device device() const { return parameters_P_.device(); }

  // Mean and stddev of each column of inputs_NI and, if options().normalise_targets, of targets_ND; a stddev
  // below 1e-12 counts as 1. All other methods but Export work in these units.
  void FitNormaliser(const at::Tensor& inputs_NI, const at::Tensor& targets_ND);
  at::Tensor Normalise(const at::Tensor& inputs_NI) const;
  at::Tensor NormaliseTargets(const at::Tensor& targets_ND) const;

  // One step of Adam on the loss of member k at rows rows_KB[k]: the Gaussian negative log-likelihood
  //   mean((mu - y)^2 exp(-lv)) + mean(lv),
  // summed over members, with the decay and with learned bounds penalty * sum(max - min). Returns the
  // likelihood term, averaged over members; if that is not finite, nothing changes.
  double TrainStep(const at::Tensor& normalised_NI, const at::Tensor& normalised_ND,
                   const at::Tensor& rows_KB);

  // The same without the step: fills gradients().
  double LossAndGradients(const at::Tensor& normalised_NI, const at::Tensor& normalised_ND,
                          const at::Tensor& rows_KB);

  // Forgets the moments of the gradients.
  void ResetOptimiser() { adam_.Reset(); }

  // Means and bounded log variances of all members at the same rows, [K, N, D] each.
  struct Prediction {
    at::Tensor means_KND;
    at::Tensor log_variances_KND;
  };
  Prediction Predict(const at::Tensor& normalised_NI);

  // Mean squared error of each member's means over all rows and outputs.
  std::vector<double> MeanSquaredErrors(const at::Tensor& normalised_NI, const at::Tensor& normalised_ND);

  // Weights and biases of one member, copied; bounds are shared by all and not among them.
  std::vector<at::Tensor> CopyMember(int64_t member) const;
  void SetMember(int64_t member, const std::vector<at::Tensor>& tensors);

  // Everything that training depends on: parameters, moments, normaliser.
  TorchState State() const;
  // INVALID_ARGUMENT for a state of other shapes; nothing has changed then.
  absl::Status SetState(const TorchState& state);

  // The tensors of a dynamics snapshot (see services/model_trainer/core/model_trainer.h); the output layer
  // and the bounds are turned back into the units of the targets.
  void Export(TensorFile* file) const;

  // Flat parameters and gradients: per layer weight [K, in, out], then bias [K, out]; then the bounds, max
  // and min [D].
  at::Tensor& parameters() { return parameters_P_; }
  const at::Tensor& gradients() const { return gradients_P_; }

 private:
  struct Layer {
    at::Tensor weight_KXY;
    at::Tensor bias_KY;
  };
  struct Views {
    std::vector<Layer> layers;
    at::Tensor log_variance_max_D;
    at::Tensor log_variance_min_D;
  };
  // Buffers for a few members at once. S members, B rows.
  struct Workspace {
    int64_t rows = 0;
    std::vector<at::Tensor> hidden_SBH;
    // Derivative of each unit by its pre-activation.
    std::vector<at::Tensor> slopes_SBH;
    std::vector<at::Tensor> gradients_SBH;
    at::Tensor output_SBY;
    at::Tensor output_gradient_SBY;
  };

  Views ViewsOf(const at::Tensor& flat_P) const;
  int64_t LayerInputs(size_t layer) const;
  int64_t LayerOutputs(size_t layer) const;
  size_t num_layers() const { return options_.hidden_sizes.size() + 1; }
  Views Slice(const Views& views, int64_t first_member) const;
  Workspace& Prepare(int64_t rows);
  // input_SBI to workspace.output_SBY.
  void Forward(const Views& slice, const at::Tensor& input_SBI, Workspace& workspace) const;
  void Backward(const Views& slice, Views& gradient_slice, const at::Tensor& input_SBI, Workspace& workspace);
  // Likelihood term, summed over the members of the slice; fills output_gradient and adds to the bounds'.
  double Likelihood(const at::Tensor& targets_SBD, Views& gradients, Workspace& workspace);
  at::Tensor BoundLogVariance(const at::Tensor& raw) const;

  EnsembleOptions options_;
  // Members that one pass over the buffers handles: 1 on a CPU, where a member's activations then stay in the
  // cache; all elsewhere.
  int64_t slice_members_;
  at::Tensor parameters_P_;
  at::Tensor gradients_P_;
  Views views_;
  Views gradient_views_;
  FlatAdam adam_;
  at::Tensor input_mean_I_;
  at::Tensor input_stddev_I_;
  at::Tensor target_mean_D_;
  at::Tensor target_stddev_D_;
  Workspace workspace_;
};

}  // namespace demorl
