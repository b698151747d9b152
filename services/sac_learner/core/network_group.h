#pragma once

#include <map>
#include <string>
#include <vector>

#include "ATen/ATen.h"
#include "common/base/random.h"
#include "common/policy/safetensors.h"
#include "common/rl/flat_adam.h"
#include "common/rl/mlp.h"

namespace demorl {

// `count` networks of one size in one buffer, with their gradients, optimiser and, if wanted, averaged copy.
struct NetworkGroup {
  NetworkGroup(const MlpSize& network_size, int count, bool has_target, const AdamOptions& adam_options,
               at::Device device, Random& random);

  MlpSize size;
  at::Tensor parameters_P, gradients_P, target_P;
  std::vector<MlpLayers> parameters, gradients, target;
  FlatAdam adam;
};

// Names of networks in a snapshot: <prefix>.hidden.<l>.{weight,bias}, and for a value
// <prefix>.out.{weight,bias}.
void AddTensor(const std::string& name, const at::Tensor& tensor, TensorFile* file);
void AddHidden(const std::string& prefix, const MlpLayers& layers, TensorFile* file);
void AddValueNetwork(const std::string& prefix, const MlpLayers& layers, TensorFile* file);

// Names of networks in a saved state: <prefix>.<k>.<layer>.{weight,bias}.
void AddLayers(const std::string& prefix, const std::vector<MlpLayers>& networks,
               std::map<std::string, at::Tensor>* tensors);

}  // namespace demorl
