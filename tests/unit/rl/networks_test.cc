#include <cmath>
#include <vector>

#include "common/base/random.h"
#include "common/rl/flat_adam.h"
#include "common/rl/mlp.h"
#include "common/rl/tensor_convert.h"
#include "gtest/gtest.h"

namespace demorl {
namespace {

at::Tensor Normal(Random& random, at::IntArrayRef shape) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  random.FillNormal({tensor.data_ptr<float>(), static_cast<size_t>(tensor.numel())});
  return tensor;
}

double LargestDifference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

struct NetworkCase {
  MlpSize size;
  int64_t rows;
};

class MlpTest : public ::testing::TestWithParam<NetworkCase> {
 protected:
  void SetUp() override {
    const auto& [size, rows] = GetParam();
    parameters_ = at::zeros({size.num_parameters()}, at::kFloat);
    layers_ = ViewLayers(size, parameters_);
    InitialiseLayers(layers_, random_);
    input_ = Normal(random_, {rows, size.inputs});
    output_gradient_ = Normal(random_, {rows, size.outputs});
  }

  // The same network on a leaf that records gradients, written with plain operations.
  at::Tensor Reference(const at::Tensor& parameters, const at::Tensor& input) {
    const MlpLayers layers = ViewLayers(GetParam().size, parameters);
    at::Tensor x = input;
    for (size_t i = 0; i + 1 < layers.weights.size(); ++i) {
      x = at::matmul(x, layers.weights[i].t()) + layers.biases[i];
      if (GetParam().size.layer_norm) {
        x = at::layer_norm(x, {x.size(1)});
      }
      x = x.relu();
    }
    return at::matmul(x, layers.weights.back().t()) + layers.biases.back();
  }

  Random random_{7};
  at::Tensor parameters_, input_, output_gradient_;
  MlpLayers layers_;
};

TEST_P(MlpTest, ForwardAndBackwardAgreeWithAutomaticDifferentiation) {
  const auto& [size, rows] = GetParam();
  MlpActivations activations = MlpActivations::Allocate(size, rows, at::kCPU);
  Forward(layers_, input_, activations);
  MlpActivations gradients = MlpActivations::Allocate(size, rows, at::kCPU);
  gradients.output_BY.copy_(output_gradient_);
  BackpropagateHidden(layers_, activations, gradients);
  at::Tensor flat_gradients = at::zeros_like(parameters_);
  MlpLayers gradient_views = ViewLayers(size, flat_gradients);
  ParameterGradients(input_, activations, gradients, gradient_views);
  at::Tensor input_gradients = at::zeros({rows, size.inputs - 1}, at::kFloat);
  InputGradients(layers_, gradients, 1, size.inputs - 1, input_gradients);

  at::Tensor leaf = parameters_.clone().set_requires_grad(true);
  at::Tensor input_leaf = input_.clone().set_requires_grad(true);
  const at::Tensor output = Reference(leaf, input_leaf);
  (output * output_gradient_).sum().backward();
  EXPECT_LT(LargestDifference(activations.output_BY, output.detach()), 1e-5);
  EXPECT_LT(LargestDifference(flat_gradients, leaf.grad()),
            1e-5 * std::max(1.0, leaf.grad().abs().max().item<double>()));
  EXPECT_LT(LargestDifference(input_gradients, input_leaf.grad().narrow(1, 1, size.inputs - 1)), 1e-5);
}

TEST_P(MlpTest, ParameterGradientsAgreeWithFiniteDifferences) {
  const at::Tensor doubles = parameters_.to(at::kDouble);
  const at::Tensor input = input_.to(at::kDouble);
  const auto& [size, rows] = GetParam();
  MlpActivations activations = MlpActivations::Allocate(size, rows, at::kCPU);
  Forward(layers_, input_, activations);
  MlpActivations gradients = MlpActivations::Allocate(size, rows, at::kCPU);
  gradients.output_BY.copy_(output_gradient_);
  BackpropagateHidden(layers_, activations, gradients);
  at::Tensor flat_gradients = at::zeros_like(parameters_);
  MlpLayers gradient_views = ViewLayers(size, flat_gradients);
  ParameterGradients(input_, activations, gradients, gradient_views);
  const auto loss = [&](const at::Tensor& parameters) {
    return (Reference(parameters, input) * output_gradient_).sum().item<double>();
  };
  for (int trial = 0; trial < 20; ++trial) {
    const int64_t i = static_cast<int64_t>(random_.Index(parameters_.numel()));
    at::Tensor above = doubles.clone(), below = doubles.clone();
    above[i] += 1e-6;
    below[i] -= 1e-6;
    const double expected = (loss(above) - loss(below)) / 2e-6;
    EXPECT_NEAR(flat_gradients[i].item<double>(), expected, 1e-4 * std::max(1.0, std::abs(expected)));
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, MlpTest,
                         ::testing::Values(NetworkCase{{3, {8, 5}, 4}, 6}, NetworkCase{{4, {7}, 1}, 9},
                                           NetworkCase{{5, {}, 2}, 3}, NetworkCase{{4, {7, 37}, 2, true}, 9},
                                           NetworkCase{{23, {64, 64, 32}, 1}, 32}));

TEST(MlpRowsTest, RowsAreViewsOfTheSameMemory) {
  MlpActivations all = MlpActivations::Allocate({2, {3}, 1}, 4, at::kCPU);
  MlpActivations last = all.Rows(2, 2);
  last.hidden[0].fill_(5);
  EXPECT_EQ(all.hidden[0].sum().item<float>(), 30);
}

TEST(InitialiseLayersTest, StaysWithinTheBoundOfEachLayerAndFillsIt) {
  const MlpSize size{100, {400}, 3};
  at::Tensor parameters = at::zeros({size.num_parameters()}, at::kFloat);
  MlpLayers layers = ViewLayers(size, parameters);
  Random random(1);
  InitialiseLayers(layers, random);
  EXPECT_LE(layers.weights[0].abs().max().item<float>(), 0.1f);
  EXPECT_GT(layers.weights[0].abs().max().item<float>(), 0.0999f);
  EXPECT_LE(layers.weights[1].abs().max().item<float>(), 0.05f);
  EXPECT_GT(layers.biases[0].abs().min().item<float>(), 0.0f);
}

// m = 0.1 g, v = 0.001 g^2, corrected m^ = g, v^ = g^2: the first step is lr * g / (|g| + eps).
TEST(FlatAdamTest, TheFirstStepsAreThoseOfTheFormula) {
  FlatAdam adam(3, {.learning_rate = 0.1});
  at::Tensor parameters = ToTensor<float>({1, 2, 3}, {3});
  adam.Step(parameters, ToTensor<float>({0.5f, -4, 0}, {3}));
  EXPECT_NEAR(parameters[0].item<double>(), 0.9, 1e-6);
  EXPECT_NEAR(parameters[1].item<double>(), 2.1, 1e-6);
  EXPECT_EQ(parameters[2].item<double>(), 3);
  // Second step, g = -0.5: m = 0.9 * 0.05 - 0.05 = -0.005, v = 0.999 * 0.00025 + 0.00025 = 0.00049975.
  adam.Step(parameters, ToTensor<float>({-0.5f, 0, 0}, {3}));
  const double first = -0.005 / (1 - 0.81), second = 0.00049975 / (1 - 0.998001);
  EXPECT_NEAR(parameters[0].item<double>(), 0.9 - 0.1 * first / (std::sqrt(second) + 1e-8), 1e-5);
}

TEST(FlatAdamTest, TheGradientScaleMultipliesGradients) {
  FlatAdam scaled(1, {}), plain(1, {});
  at::Tensor a = at::zeros({1}, at::kFloat), b = at::zeros({1}, at::kFloat);
  for (const float gradient : {3.0f, -1.0f, 2.0f}) {
    scaled.Step(a, ToTensor<float>({gradient}, {1}), 0.25);
    plain.Step(b, ToTensor<float>({gradient * 0.25f}, {1}));
  }
  EXPECT_EQ(a.item<float>(), b.item<float>());
  EXPECT_NE(a.item<float>(), 0);
}

TEST(PolyakAverageTest, TauWeighsTheNewValue) {
  at::Tensor target = ToTensor<float>({1, 10}, {2});
  PolyakAverage(target, ToTensor<float>({3, 10}, {2}), 0.25);
  EXPECT_FLOAT_EQ(target[0].item<float>(), 1.5f);
  EXPECT_FLOAT_EQ(target[1].item<float>(), 10);
}

}  // namespace
}  // namespace demorl
