#include "common/rl/tanh_gaussian.h"

#include <cmath>

namespace demorl {

at::Tensor LogTanhDerivative(const at::Tensor& pre_tanh) {
  return 2 * (M_LN2 - pre_tanh - at::softplus(-2 * pre_tanh));
}

TanhGaussianDraw DrawTanhGaussian(const at::Tensor& mean_BA, const at::Tensor& log_stddev_BA,
                                  const at::Tensor& noise_BA) {
  const double log_root_two_pi = 0.5 * std::log(2 * M_PI);
  TanhGaussianDraw draw;
  draw.deviation_BA = log_stddev_BA.exp() * noise_BA;
  const at::Tensor pre_tanh_BA = mean_BA + draw.deviation_BA;
  draw.action_BA = pre_tanh_BA.tanh();
  const at::Tensor per_dimension_BA =
      noise_BA.square() * -0.5 - log_stddev_BA - log_root_two_pi - LogTanhDerivative(pre_tanh_BA);
  draw.log_prob_B = per_dimension_BA.sum(1);
  return draw;
}

}  // namespace demorl
