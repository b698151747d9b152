#include "common/rl/flat_adam.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/rl/vector_clones.h"

namespace demorl {
namespace {

struct AdamFactors {
  float gradient_scale;
  float first_decay;
  float second_decay;
  float step_size;                     // learning rate / (1 - first_decay^t)
  float inverse_root_bias_correction;  // 1 / sqrt(1 - second_decay^t)
  float epsilon;
};

DEMORL_VECTOR_CLONES
void AdamLoop(int64_t count, const AdamFactors f, const float* __restrict gradients,
              float* __restrict parameters, float* __restrict first_moment, float* __restrict second_moment) {
  for (int64_t i = 0; i < count; ++i) {
    const float gradient = gradients[i] * f.gradient_scale;
    const float first = first_moment[i] * f.first_decay + gradient * (1 - f.first_decay);
    const float second = second_moment[i] * f.second_decay + gradient * gradient * (1 - f.second_decay);
    first_moment[i] = first;
    second_moment[i] = second;
    parameters[i] -= f.step_size * first / (std::sqrt(second) * f.inverse_root_bias_correction + f.epsilon);
  }
}

DEMORL_VECTOR_CLONES
void PolyakLoop(int64_t count, float tau, const float* __restrict source, float* __restrict target) {
  for (int64_t i = 0; i < count; ++i) {
    target[i] += tau * (source[i] - target[i]);
  }
}

// The same formula for tensors of another device.
void AdamOnDevice(const AdamFactors& f, const at::Tensor& gradients, at::Tensor& parameters,
                  at::Tensor& first_moment, at::Tensor& second_moment) {
  const at::Tensor scaled = gradients * f.gradient_scale;
  first_moment.mul_(f.first_decay).add_(scaled, 1 - f.first_decay);
  second_moment.mul_(f.second_decay).addcmul_(scaled, scaled, 1 - f.second_decay);
  const at::Tensor denominator = second_moment.sqrt().mul_(f.inverse_root_bias_correction).add_(f.epsilon);
  parameters.addcdiv_(first_moment, denominator, -f.step_size);
}

}  // namespace

FlatAdam::FlatAdam(int64_t num_parameters, const AdamOptions& options, at::Device device)
    : options_(options),
      first_moment_P_(at::zeros({num_parameters}, at::TensorOptions(at::kFloat).device(device))),
      second_moment_P_(at::zeros({num_parameters}, at::TensorOptions(at::kFloat).device(device))) {}

void FlatAdam::Step(at::Tensor parameters_P, const at::Tensor& gradients_P, double gradient_scale) {
  DEMORL_CHECK(parameters_P.numel() == first_moment_P_.numel() && parameters_P.is_contiguous());
  DEMORL_CHECK(gradients_P.numel() == first_moment_P_.numel() && gradients_P.is_contiguous());
  ++num_steps_;
  const double steps = static_cast<double>(num_steps_);
  const double first_correction = 1 - std::pow(options_.first_moment_decay, steps);
  const double second_correction = 1 - std::pow(options_.second_moment_decay, steps);
  const AdamFactors factors = {
      .gradient_scale = static_cast<float>(gradient_scale),
      .first_decay = static_cast<float>(options_.first_moment_decay),
      .second_decay = static_cast<float>(options_.second_moment_decay),
      .step_size = static_cast<float>(options_.learning_rate / first_correction),
      .inverse_root_bias_correction = static_cast<float>(1 / std::sqrt(second_correction)),
      .epsilon = static_cast<float>(options_.epsilon),
  };
  if (parameters_P.is_cpu()) {
    AdamLoop(parameters_P.numel(), factors, gradients_P.data_ptr<float>(), parameters_P.data_ptr<float>(),
             first_moment_P_.data_ptr<float>(), second_moment_P_.data_ptr<float>());
  } else {
    AdamOnDevice(factors, gradients_P, parameters_P, first_moment_P_, second_moment_P_);
  }
}

void FlatAdam::Reset() {
  num_steps_ = 0;
  first_moment_P_.zero_();
  second_moment_P_.zero_();
}

std::map<std::string, at::Tensor> FlatAdam::Tensors(absl::string_view prefix) const {
  return {{absl::StrCat(prefix, ".first_moment"), first_moment_P_},
          {absl::StrCat(prefix, ".second_moment"), second_moment_P_}};
}

void PolyakAverage(at::Tensor target_P, const at::Tensor& source_P, double tau) {
  DEMORL_CHECK(target_P.numel() == source_P.numel());
  if (target_P.is_cpu()) {
    DEMORL_CHECK(target_P.is_contiguous() && source_P.is_contiguous());
    PolyakLoop(target_P.numel(), static_cast<float>(tau), source_P.data_ptr<float>(),
               target_P.data_ptr<float>());
  } else {
    target_P.lerp_(source_P, tau);
  }
}

}  // namespace demorl
