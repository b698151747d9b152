#pragma once

#include "ATen/ATen.h"
#include "common/base/random.h"
#include "common/concurrency/worker_pool.h"
#include "common/rl/tanh_gaussian.h"
#include "common/tensor/transition_chunk.h"
#include "services/sac_learner/core/sac_metrics.h"
#include "services/sac_learner/core/sac_networks.h"
#include "services/sac_learner/core/sac_settings.h"
#include "services/sac_learner/core/sac_workspace.h"

namespace demorl {

// The losses of soft actor-critic on a batch and their gradients, with the backward pass written out
// (common/rl). Thread-compatible; two threads of its own on a CPU.
//
// Source: [1] Haarnoja et al. 2018, "Soft Actor-Critic Algorithms and Applications" (arXiv 1812.05905).
// Differs: all gradients of an update are taken at the weights before it, as in the authors' code, where [1,
// algorithm 1] moves the critics first. So a non-finite loss is known before anything has moved, and the q
// functions see stored and new actions in one pass.
//
// Shapes: B rows, O observation values, A action dimensions, K q functions, P parameters.
class SacGradients {
 public:
  // Borrows the networks.
  SacGradients(const SacSettings& settings, at::Device device, SacNetworks* networks);

  // Fills gradients_P of every network; moves no weight. The noise of the actions is drawn from `random`. The
  // columns of `batch` have the sizes of the settings. Throws what Torch throws. The number of threads
  // changes no bit of the result.
  SacMetrics Compute(const TransitionBatch& batch, Random& random);

 private:
  // Of the q functions, in one pass each.
  struct QValues {
    at::Tensor of_stored_KB, of_new_KB;
    at::Tensor min_target;  // [B], and [B] more of (s, a ~ pi) with a V network
  };

  template <typename Task>
  void RunBoth(const Task& task);
  TanhGaussianDraw DrawActions();
  QValues EvaluateQ();
  void BackpropagateQ(const QValues& q, const at::Tensor& target_B);
  void CriticAndPolicyGradients(const TanhGaussianDraw& draw_2B, double entropy_temperature);
  void PolicyGradients(const TanhGaussianDraw& draw_2B, double entropy_temperature);
  double ValueGradients(const at::Tensor& target_B);
  SacMetrics Figures(const QValues& q, const at::Tensor& target_B, const at::Tensor& log_prob_B,
                     double entropy_temperature) const;

  const SacSettings settings_;
  const at::Device device_;
  SacNetworks& networks_;
  SacWorkspace work_;
  WorkerPool pool_;
};

}  // namespace demorl
