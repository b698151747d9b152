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
  }
  activations.output_BY = at::zeros({rows, size.outputs}, options);
  return activations;
}

MlpActivations MlpActivations::Rows(int64_t first, int64_t count) const {
  MlpActivations rows;
  for (const at::Tensor& layer : hidden) {
    rows.hidden.push_back(layer.narrow(0, first, count));
  }
  rows.output_BY = output_BY.narrow(0, first, count);
  return rows;
}

void Forward(const MlpLayers& layers, const at::Tensor& input_BI, MlpActivations& activations) {
  const at::Tensor* input = &input_BI;
  for (size_t layer = 0; layer < activations.hidden.size(); ++layer) {
    at::Tensor& hidden = activations.hidden[layer];
    HiddenForward(*input, layers.weights[layer], layers.biases[layer], hidden);
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
