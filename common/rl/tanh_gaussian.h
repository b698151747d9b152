#pragma once

// The squashed Gaussian of SAC: a = tanh(u), u = mean + stddev * noise. Source: Haarnoja et al. 2018, "Soft
// Actor-Critic Algorithms and Applications" (arXiv 1812.05905), eq. 8 and appendix C.
//
// Shapes: B rows, A action dimensions. Pure functions; differentiable wherever their inputs record gradients.

#include "ATen/ATen.h"

namespace demorl {

struct TanhGaussianDraw {
  at::Tensor action_BA;
  at::Tensor log_prob_B;
  // What the derivative needs: stddev * noise.
  at::Tensor deviation_BA;
};

// log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2 u)), which stays finite where 1 - tanh(u)^2 rounds to 0.
at::Tensor LogTanhDerivative(const at::Tensor& pre_tanh);

// One draw per row from standard normal `noise_BA`. log_stddev_BA must be clipped already.
// log pi(a) = sum_A [ -noise^2/2 - log stddev - log(2 pi)/2 - log(1 - tanh(u)^2) ].
TanhGaussianDraw DrawTanhGaussian(const at::Tensor& mean_BA, const at::Tensor& log_stddev_BA,
                                  const at::Tensor& noise_BA);

}  // namespace demorl
