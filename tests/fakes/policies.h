#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/policy/safetensors.h"

namespace demorl {

// A policy whose mean is tanh(`bias`) in every dimension whatever it sees, nearly without spread.
inline TensorFile ConstantPolicy(int observation_size, int action_size, float bias) {
  const auto zeros = [](std::vector<int64_t> shape) {
    int64_t count = 1;
    for (const int64_t size : shape) {
      count *= size;
    }
    return NamedTensor{.shape = shape, .values = std::vector<float>(count)};
  };
  TensorFile file;
  file.tensors["policy.hidden.0.weight"] = zeros({4, observation_size});
  file.tensors["policy.hidden.0.bias"] = zeros({4});
  file.tensors["policy.mean.weight"] = zeros({action_size, 4});
  file.tensors["policy.mean.bias"] = zeros({action_size});
  file.tensors["policy.log_stddev.weight"] = zeros({action_size, 4});
  file.tensors["policy.log_stddev.bias"] = zeros({action_size});
  for (int i = 0; i < action_size; ++i) {
    file.tensors["policy.mean.bias"].values[i] = bias;
    file.tensors["policy.log_stddev.bias"].values[i] = -20;
  }
  file.metadata = {{"log_stddev_min", "-20"}, {"log_stddev_max", "2"}};
  return file;
}

// Random weights, scaled by the number of inputs.
inline TensorFile RandomPolicy(int observation_size, const std::vector<int>& hidden_sizes, int action_size,
                               uint64_t seed) {
  Random random(seed);
  TensorFile file;
  const auto add = [&](const std::string& name, int outputs, int inputs) {
    NamedTensor& weight = file.tensors[name + ".weight"];
    weight = {.shape = {outputs, inputs}, .values = std::vector<float>(outputs * inputs)};
    for (float& value : weight.values) {
      value = static_cast<float>(random.Normal() / std::sqrt(inputs));
    }
    NamedTensor& bias = file.tensors[name + ".bias"];
    bias = {.shape = {outputs}, .values = std::vector<float>(outputs)};
    random.FillNormal(bias.values);
  };
  int inputs = observation_size;
  for (size_t i = 0; i < hidden_sizes.size(); ++i) {
    add("policy.hidden." + std::to_string(i), hidden_sizes[i], inputs);
    inputs = hidden_sizes[i];
  }
  add("policy.mean", action_size, inputs);
  add("policy.log_stddev", action_size, inputs);
  file.metadata = {{"log_stddev_min", "-20"}, {"log_stddev_max", "2"}};
  return file;
}

}  // namespace demorl
