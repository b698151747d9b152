#include "services/sac_learner/core/sac_networks.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/random.h"
#include "common/rl/tensor_convert.h"

namespace demorl {

SacSizes SizesOf(const SacSettings& settings) {
  const int64_t observation_size = settings.observation_size, action_size = settings.action_size;
  SacSizes sizes = {
      .policy = {observation_size, settings.hidden_sizes, 2 * action_size},
      .q = {observation_size + action_size, settings.hidden_sizes, 1, settings.critic_layer_norm}};
  if (settings.value_network) {
    sizes.value = {observation_size, settings.hidden_sizes, 1, settings.critic_layer_norm};
  }
  return sizes;
}

SacNetworks SacNetworks::Make(const SacSettings& settings, at::Device device) {
  const SacSizes sizes = SizesOf(settings);
  const AdamOptions adam = {.learning_rate = settings.learning_rate};
  const auto log_temperature = static_cast<float>(std::log(settings.initial_entropy_temperature));
  Random random(SplitSeed(settings.seed, "sac/initial_weights"));
  // Drawn in this order.
  SacNetworks networks = {.policy = NetworkGroup(sizes.policy, 1, false, adam, device, random),
                          .q = NetworkGroup(sizes.q, kNumQ, true, adam, device, random),
                          .log_temperature_1 = ToTensor(std::vector<float>{log_temperature}, {1}),
                          .temperature_adam = FlatAdam(1, adam)};
  if (settings.value_network) {
    networks.value = std::make_unique<NetworkGroup>(sizes.value, 1, true, adam, device, random);
  }
  return networks;
}

double SacNetworks::entropy_temperature() const { return std::exp(log_temperature_1.data_ptr<float>()[0]); }

TensorFile SacNetworks::PolicyTensors(const SacSettings& settings) const {
  const MlpLayers& layers = policy.parameters[0];
  const int64_t action_size = settings.action_size;
  TensorFile file;
  AddHidden("policy", layers, &file);
  AddTensor("policy.mean.weight", layers.weights.back().narrow(0, 0, action_size), &file);
  AddTensor("policy.mean.bias", layers.biases.back().narrow(0, 0, action_size), &file);
  AddTensor("policy.log_stddev.weight", layers.weights.back().narrow(0, action_size, action_size), &file);
  AddTensor("policy.log_stddev.bias", layers.biases.back().narrow(0, action_size, action_size), &file);
  file.metadata["log_stddev_min"] = absl::StrFormat("%.17g", settings.log_stddev_min);
  file.metadata["log_stddev_max"] = absl::StrFormat("%.17g", settings.log_stddev_max);
  return file;
}

TensorFile SacNetworks::ValueTensors(const SacSettings& settings) const {
  TensorFile file;
  for (int k = 0; k < kNumQ; ++k) {
    AddValueNetwork(absl::StrCat("q.", k), q.target[k], &file);
  }
  if (value != nullptr) {
    AddValueNetwork("v", value->target[0], &file);
  }
  file.metadata["entropy_temperature"] = absl::StrFormat("%.9g", entropy_temperature());
  file.metadata["reward_scale"] = absl::StrFormat("%.9g", settings.reward_scale);
  file.metadata["layer_norm"] = absl::StrCat(settings.critic_layer_norm ? 1 : 0);
  return file;
}

std::map<std::string, at::Tensor> SacNetworks::StateTensors() const {
  std::map<std::string, at::Tensor> tensors = {{"log_entropy_temperature", log_temperature_1}};
  AddLayers("policy", policy.parameters, &tensors);
  AddLayers("q", q.parameters, &tensors);
  AddLayers("target_q", q.target, &tensors);
  tensors.merge(policy.adam.Tensors("policy_adam"));
  tensors.merge(q.adam.Tensors("q_adam"));
  tensors.merge(temperature_adam.Tensors("temperature_adam"));
  if (value != nullptr) {
    AddLayers("value", value->parameters, &tensors);
    AddLayers("target_value", value->target, &tensors);
    tensors.merge(value->adam.Tensors("value_adam"));
  }
  return tensors;
}

std::vector<uint64_t> SacNetworks::AdamSteps() const {
  return {static_cast<uint64_t>(policy.adam.num_steps()), static_cast<uint64_t>(q.adam.num_steps()),
          static_cast<uint64_t>(temperature_adam.num_steps()),
          static_cast<uint64_t>(value != nullptr ? value->adam.num_steps() : 0)};
}

void SacNetworks::SetAdamSteps(std::span<const uint64_t> steps) {
  policy.adam.set_num_steps(static_cast<int64_t>(steps[0]));
  q.adam.set_num_steps(static_cast<int64_t>(steps[1]));
  temperature_adam.set_num_steps(static_cast<int64_t>(steps[2]));
  if (value != nullptr) {
    value->adam.set_num_steps(static_cast<int64_t>(steps[3]));
  }
}

}  // namespace demorl
