#include "services/sac_learner/core/network_group.h"

#include "absl/strings/str_cat.h"
#include "common/rl/tensor_convert.h"

namespace demorl {

NetworkGroup::NetworkGroup(const MlpSize& network_size, int count, bool has_target,
                           const AdamOptions& adam_options, at::Device device, Random& random)
    : size(network_size), adam(network_size.num_parameters() * count, adam_options, device) {
  const auto options = at::TensorOptions(at::kFloat).device(device);
  const int64_t num_parameters = size.num_parameters();
  parameters_P = at::zeros({count * num_parameters}, options);
  gradients_P = at::zeros_like(parameters_P);
  for (int i = 0; i < count; ++i) {
    parameters.push_back(ViewLayers(size, parameters_P, i * num_parameters));
    gradients.push_back(ViewLayers(size, gradients_P, i * num_parameters));
    InitialiseLayers(parameters.back(), random);
  }
  if (has_target) {
    target_P = parameters_P.clone();
    for (int i = 0; i < count; ++i) {
      target.push_back(ViewLayers(size, target_P, i * num_parameters));
    }
  }
}

void AddTensor(const std::string& name, const at::Tensor& tensor, TensorFile* file) {
  file->tensors[name] = {tensor.sizes().vec(), ToVector<float>(tensor)};
}

void AddHidden(const std::string& prefix, const MlpLayers& layers, TensorFile* file) {
  for (size_t layer = 0; layer + 1 < layers.weights.size(); ++layer) {
    AddTensor(absl::StrCat(prefix, ".hidden.", layer, ".weight"), layers.weights[layer], file);
    AddTensor(absl::StrCat(prefix, ".hidden.", layer, ".bias"), layers.biases[layer], file);
  }
}

void AddValueNetwork(const std::string& prefix, const MlpLayers& layers, TensorFile* file) {
  AddHidden(prefix, layers, file);
  AddTensor(prefix + ".out.weight", layers.weights.back(), file);
  AddTensor(prefix + ".out.bias", layers.biases.back(), file);
}

void AddLayers(const std::string& prefix, const std::vector<MlpLayers>& networks,
               std::map<std::string, at::Tensor>* tensors) {
  for (size_t k = 0; k < networks.size(); ++k) {
    for (size_t layer = 0; layer < networks[k].weights.size(); ++layer) {
      (*tensors)[absl::StrCat(prefix, ".", k, ".", layer, ".weight")] = networks[k].weights[layer];
      (*tensors)[absl::StrCat(prefix, ".", k, ".", layer, ".bias")] = networks[k].biases[layer];
    }
  }
}

}  // namespace demorl
