#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "common/policy/safetensors.h"

namespace demorl::testing {

inline NamedTensor Filled(std::vector<int64_t> shape, float value) {
  int64_t count = 1;
  for (const int64_t size : shape) {
    count *= size;
  }
  return {.shape = std::move(shape), .values = std::vector<float>(count, value)};
}

// An ensemble of `num_members` that predicts reward `reward` + its number and a change of every observation
// by `change`, nearly without spread, whatever it is asked.
inline TensorFile ConstantDynamics(int observation_size, int action_size, int num_members, float reward,
                                   float change) {
  const int inputs = observation_size + action_size;
  const int outputs = 1 + observation_size;
  TensorFile file;
  file.tensors["ensemble.0.weight"] = Filled({num_members, inputs, 4}, 0);
  file.tensors["ensemble.0.bias"] = Filled({num_members, 4}, 0);
  file.tensors["ensemble.1.weight"] = Filled({num_members, 4, 2 * outputs}, 0);
  NamedTensor& bias = file.tensors["ensemble.1.bias"] = Filled({num_members, 2 * outputs}, 0);
  std::string elites;
  for (int k = 0; k < num_members; ++k) {
    for (int d = 0; d < outputs; ++d) {
      bias.values[k * 2 * outputs + d] = d == 0 ? reward + static_cast<float>(k) : change;
      bias.values[k * 2 * outputs + outputs + d] = -100;
    }
    elites.append(k == 0 ? "" : ",").append(std::to_string(k));
  }
  file.tensors["input_mean"] = Filled({inputs}, 0);
  file.tensors["input_stddev"] = Filled({inputs}, 1);
  file.tensors["log_variance_max"] = Filled({outputs}, 0.5);
  file.tensors["log_variance_min"] = Filled({outputs}, -30);
  file.metadata = {{"elite_members", elites}, {"activation", "silu"}};
  return file;
}

// Q_i(x, u) = biases[i] + slope * sum(u), as long as that sum is not negative.
inline TensorFile LinearValue(int observation_size, int action_size, const std::vector<float>& biases,
                              float slope) {
  TensorFile file;
  const int inputs = observation_size + action_size;
  for (size_t i = 0; i < biases.size(); ++i) {
    const std::string prefix = "q." + std::to_string(i) + ".";
    NamedTensor& weight = file.tensors[prefix + "hidden.0.weight"] = Filled({1, inputs}, 0);
    for (int a = observation_size; a < inputs; ++a) {
      weight.values[a] = 1;
    }
    file.tensors[prefix + "hidden.0.bias"] = Filled({1}, 0);
    file.tensors[prefix + "out.weight"] = Filled({1, 1}, slope);
    file.tensors[prefix + "out.bias"] = Filled({1}, biases[i]);
  }
  return file;
}

}  // namespace demorl::testing
