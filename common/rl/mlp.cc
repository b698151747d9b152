#include "common/rl/mlp.h"

#include <cmath>

#include "common/base/check.h"
#include "common/rl/vector_clones.h"

namespace demorl {
namespace {

// One pass over the layer in place of three; `at` operations serve the other devices.
DEMORL_VECTOR_CLONES
void AddBiasAndRelu(int64_t rows, int64_t units, const float* __restrict bias, float* __restrict values) {
  for (int64_t row = 0; row < rows; ++row, values += units) {
    for (int64_t unit = 0; unit < units; ++unit) {
      const float sum = values[unit] + bias[unit];
      values[unit] = sum < 0 ? 0 : sum;  // keeps NaN
    }
  }
}

// Keeps variances of layers whose units agree away from 0, as torch.nn.LayerNorm does.
constexpr float kMinVariance = 1e-5f;

// Sum of value(unit) in lanes, which compilers may not choose by themselves: it changes the order of the
// sums.
template <typename Value>
__attribute__((always_inline)) inline float LaneSum(int64_t units, const Value& value) {
  constexpr int64_t kLanes = 16;
  float lanes[kLanes] = {};
  int64_t unit = 0;
  for (; unit + kLanes <= units; unit += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      lanes[lane] += value(unit + lane);
    }
  }
  float sum = 0;
  for (; unit < units; ++unit) {
    sum += value(unit);
  }
  for (const float lane : lanes) {
    sum += lane;
  }
  return sum;
}

// In place: adds the bias, normalises each row, keeps that in `normalised`, cuts at 0.
DEMORL_VECTOR_CLONES
void AddBiasNormaliseAndRelu(int64_t rows, int64_t units, const float* __restrict bias,
                             float* __restrict values, float* __restrict normalised,
                             float* __restrict inverse_stddev) {
  for (int64_t row = 0; row < rows; ++row, values += units, normalised += units) {
    for (int64_t unit = 0; unit < units; ++unit) {
      values[unit] += bias[unit];
    }
    const float mean = LaneSum(units, [&](int64_t unit) { return values[unit]; }) / static_cast<float>(units);
    const float squares =
        LaneSum(units, [&](int64_t unit) { return (values[unit] - mean) * (values[unit] - mean); });
    const float scale = 1 / std::sqrt(squares / static_cast<float>(units) + kMinVariance);
    inverse_stddev[row] = scale;
    for (int64_t unit = 0; unit < units; ++unit) {
      const float value = (values[unit] - mean) * scale;
      normalised[unit] = value;
      values[unit] = value < 0 ? 0 : value;
    }
  }
}

// In place: from the derivative by normalised units to that by the units before.
DEMORL_VECTOR_CLONES
void NormalisationGradient(int64_t rows, int64_t units, const float* __restrict normalised,
                           const float* __restrict inverse_stddev, float* __restrict gradients) {
  for (int64_t row = 0; row < rows; ++row, gradients += units, normalised += units) {
    const float mean =
        LaneSum(units, [&](int64_t unit) { return gradients[unit]; }) / static_cast<float>(units);
    const float projection =
        LaneSum(units, [&](int64_t unit) { return gradients[unit] * normalised[unit]; }) /
        static_cast<float>(units);
    for (int64_t unit = 0; unit < units; ++unit) {
      gradients[unit] = inverse_stddev[row] * (gradients[unit] - mean - normalised[unit] * projection);
    }
  }
}

DEMORL_VECTOR_CLONES
void ZeroWhereInactive(int64_t count, const float* __restrict activations, float* __restrict gradients) {
  for (int64_t i = 0; i < count; ++i) {
    gradients[i] = activations[i] > 0 ? gradients[i] : 0;
  }
}

void HiddenForward(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias,
                   at::Tensor& hidden) {
  if (hidden.is_cpu()) {
    at::mm_out(hidden, input, weight.t());
    AddBiasAndRelu(hidden.size(0), hidden.size(1), bias.data_ptr<float>(), hidden.data_ptr<float>());
  } else {
    at::addmm_out(hidden, bias, input, weight.t());
    hidden.clamp_min_(0);
  }
}

void NormalisedHiddenForward(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias,
                             at::Tensor& hidden, at::Tensor& normalised, at::Tensor& inverse_stddev) {
  if (hidden.is_cpu()) {
    at::mm_out(hidden, input, weight.t());
    AddBiasNormaliseAndRelu(hidden.size(0), hidden.size(1), bias.data_ptr<float>(), hidden.data_ptr<float>(),
                            normalised.data_ptr<float>(), inverse_stddev.data_ptr<float>());
    return;
  }
  at::addmm_out(hidden, bias, input, weight.t());
  const auto [variance, mean] = at::var_mean(hidden, at::IntArrayRef{1}, /*correction=*/0);
  inverse_stddev.copy_((variance + kMinVariance).rsqrt());
  normalised.copy_((hidden - mean.unsqueeze(1)) * inverse_stddev.unsqueeze(1));
  at::clamp_min_out(hidden, normalised, 0);
}

void DenormaliseGradient(const at::Tensor& normalised, const at::Tensor& inverse_stddev,
                         at::Tensor& gradient) {
  if (gradient.is_cpu()) {
    NormalisationGradient(gradient.size(0), gradient.size(1), normalised.data_ptr<float>(),
                          inverse_stddev.data_ptr<float>(), gradient.data_ptr<float>());
    return;
  }
  const at::Tensor projection_B1 = (gradient * normalised).mean(1, /*keepdim=*/true);
  gradient.sub_(gradient.mean(1, /*keepdim=*/true)).sub_(normalised * projection_B1);
  gradient.mul_(inverse_stddev.unsqueeze(1));
}

void MaskGradient(const at::Tensor& activation, at::Tensor& gradient) {
  if (gradient.is_cpu()) {
    ZeroWhereInactive(gradient.numel(), activation.data_ptr<float>(), gradient.data_ptr<float>());
  } else {
    at::threshold_backward_out(gradient, gradient, activation, 0);
  }
}

}  // namespace

int64_t MlpSize::num_parameters() const {
  int64_t count = 0;
  for (int64_t layer = 0; layer < num_layers(); ++layer) {
    count += (layer_inputs(layer) + 1) * layer_outputs(layer);
  }
  return count;
}

MlpLayers ViewLayers(const MlpSize& size, const at::Tensor& flat_P, int64_t offset) {
  DEMORL_CHECK(offset + size.num_parameters() <= flat_P.numel());
  MlpLayers layers;
  for (int64_t layer = 0; layer < size.num_layers(); ++layer) {
    const int64_t inputs = size.layer_inputs(layer);
    const int64_t outputs = size.layer_outputs(layer);
    layers.weights.push_back(flat_P.narrow(0, offset, inputs * outputs).view({outputs, inputs}));
    offset += inputs * outputs;
    layers.biases.push_back(flat_P.narrow(0, offset, outputs));
    offset += outputs;
  }
  return layers;
}

void InitialiseLayers(MlpLayers& layers, Random& random) {
  const auto fill = [&](at::Tensor& destination, double bound) {
    at::Tensor values = at::empty(destination.sizes(), at::TensorOptions(at::kFloat));
    float* data = values.data_ptr<float>();
    for (int64_t i = 0; i < values.numel(); ++i) {
      data[i] = static_cast<float>(random.Uniform(-bound, bound));
    }
    destination.copy_(values);
  };
  for (size_t layer = 0; layer < layers.weights.size(); ++layer) {
    const double bound = 1 / std::sqrt(static_cast<double>(layers.weights[layer].size(1)));
    fill(layers.weights[layer], bound);
    fill(layers.biases[layer], bound);
  }
}

MlpActivations MlpActivations::Allocate(const MlpSize& size, int64_t rows, at::Device device) {
  const auto options = at::TensorOptions(at::kFloat).device(device);
  MlpActivations activations;
  for (const int64_t units : size.hidden) {
    activations.hidden.push_back(at::zeros({rows, units}, options));
    if (size.layer_norm) {
      activations.normalised.push_back(at::zeros({rows, units}, options));
      activations.inverse_stddev.push_back(at::zeros({rows}, options));
    }
  }
  activations.output_BY = at::zeros({rows, size.outputs}, options);
  return activations;
}

MlpActivations MlpActivations::Rows(int64_t first, int64_t count) const {
  MlpActivations rows;
  for (const at::Tensor& layer : hidden) {
    rows.hidden.push_back(layer.narrow(0, first, count));
  }
  for (size_t layer = 0; layer < normalised.size(); ++layer) {
    rows.normalised.push_back(normalised[layer].narrow(0, first, count));
    rows.inverse_stddev.push_back(inverse_stddev[layer].narrow(0, first, count));
  }
  rows.output_BY = output_BY.narrow(0, first, count);
  return rows;
}

void Forward(const MlpLayers& layers, const at::Tensor& input_BI, MlpActivations& activations) {
  const at::Tensor* input = &input_BI;
  for (size_t layer = 0; layer < activations.hidden.size(); ++layer) {
    at::Tensor& hidden = activations.hidden[layer];
    if (activations.normalised.empty()) {
      HiddenForward(*input, layers.weights[layer], layers.biases[layer], hidden);
    } else {
      NormalisedHiddenForward(*input, layers.weights[layer], layers.biases[layer], hidden,
                              activations.normalised[layer], activations.inverse_stddev[layer]);
    }
    input = &hidden;
  }
  at::addmm_out(activations.output_BY, layers.biases.back(), *input, layers.weights.back().t());
}

void BackpropagateHidden(const MlpLayers& layers, const MlpActivations& activations,
                         MlpActivations& gradients) {
  const at::Tensor* upper = &gradients.output_BY;
  for (size_t layer = activations.hidden.size(); layer-- > 0;) {
    at::Tensor& gradient = gradients.hidden[layer];
    at::mm_out(gradient, *upper, layers.weights[layer + 1]);
    MaskGradient(activations.hidden[layer], gradient);
    if (!activations.normalised.empty()) {
      DenormaliseGradient(activations.normalised[layer], activations.inverse_stddev[layer], gradient);
    }
    upper = &gradient;
  }
}

void ParameterGradients(const at::Tensor& input_BI, const MlpActivations& activations,
                        const MlpActivations& gradients, MlpLayers& parameter_gradients) {
  const size_t num_hidden = activations.hidden.size();
  for (size_t layer = 0; layer <= num_hidden; ++layer) {
    const at::Tensor& input = layer == 0 ? input_BI : activations.hidden[layer - 1];
    const at::Tensor& gradient = layer == num_hidden ? gradients.output_BY : gradients.hidden[layer];
    at::mm_out(parameter_gradients.weights[layer], gradient.t(), input);
    at::sum_out(parameter_gradients.biases[layer], gradient, {0});
  }
}

void InputGradients(const MlpLayers& layers, const MlpActivations& gradients, int64_t first, int64_t count,
                    at::Tensor& result) {
  const at::Tensor& gradient = gradients.hidden.empty() ? gradients.output_BY : gradients.hidden.front();
  at::mm_out(result, gradient, layers.weights.front().narrow(1, first, count));
}

}  // namespace demorl
