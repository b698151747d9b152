#include "common/policy/mlp_policy.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "Eigen/Core"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

using RowMajorMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using ConstVectorMap = Eigen::Map<const Eigen::VectorXf>;

// The usual clip of SAC, for files that do not state one.
constexpr double kDefaultLogStddevMin = -20;
constexpr double kDefaultLogStddevMax = 2;

struct Layer {
  RowMajorMatrix weight;
  Eigen::VectorXf bias;
  // Scratch.
  Eigen::VectorXf output;

  void Apply(const ConstVectorMap& input) {
    output = bias;
    output.noalias() += weight * input;
  }
};

absl::StatusOr<const NamedTensor*> Find(const TensorFile& file, absl::string_view name,
                                        const std::vector<int64_t>& shape) {
  absl::StatusOr<const NamedTensor*> tensor = FindTensor(file, name, shape);
  if (!tensor.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("not a usable policy: ", tensor.status().message()));
  }
  return tensor;
}

absl::StatusOr<Layer> ReadLayer(const TensorFile& file, const std::string& name, int64_t outputs,
                                int64_t inputs) {
  ASSIGN_OR_RETURN(const NamedTensor* weight, Find(file, absl::StrCat(name, ".weight"), {outputs, inputs}));
  ASSIGN_OR_RETURN(const NamedTensor* bias, Find(file, absl::StrCat(name, ".bias"), {outputs}));
  Layer layer;
  layer.weight = Eigen::Map<const RowMajorMatrix>(weight->values.data(), outputs, inputs);
  layer.bias = ConstVectorMap(bias->values.data(), outputs);
  layer.output.setZero(outputs);
  return layer;
}

// Rows of the weight of hidden layer `index`, or 0 when there is no such layer.
int64_t HiddenSize(const TensorFile& file, size_t index) {
  const auto found = file.tensors.find(absl::StrCat("policy.hidden.", index, ".weight"));
  return found == file.tensors.end() || found->second.shape.empty() ? 0 : found->second.shape[0];
}

absl::StatusOr<float> ReadBound(const TensorFile& file, const std::string& name, double default_value) {
  const auto found = file.metadata.find(name);
  if (found == file.metadata.end()) {
    return static_cast<float>(default_value);
  }
  double value = 0;
  if (!absl::SimpleAtod(found->second, &value) || !std::isfinite(value)) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a usable policy: metadata ", name, " is '", found->second, "', not a number"));
  }
  return static_cast<float>(value);
}

}  // namespace

struct MlpPolicy::Network {
  std::vector<Layer> hidden;
  Layer mean;
  Layer log_stddev;
  float log_stddev_min = 0;
  float log_stddev_max = 0;
  int observation_size = 0;
  int action_size = 0;

  // Input of the two output layers. Valid until the next call; may alias `observation`.
  ConstVectorMap Features(std::span<const float> observation) {
    const float* input = observation.data();
    Eigen::Index size = observation_size;
    for (Layer& layer : hidden) {
      layer.Apply(ConstVectorMap(input, size));
      layer.output = layer.output.cwiseMax(0.0f);
      input = layer.output.data();
      size = layer.output.size();
    }
    return ConstVectorMap(input, size);
  }
};

MlpPolicy::MlpPolicy(std::unique_ptr<Network> network) : network_(std::move(network)) {}
MlpPolicy::~MlpPolicy() = default;

absl::StatusOr<std::unique_ptr<MlpPolicy>> MlpPolicy::Create(const TensorFile& file, int observation_size,
                                                             int action_size) {
  RETURN_IF_ERROR(CheckFinite(file));
  auto network = std::make_unique<Network>();
  network->observation_size = observation_size;
  network->action_size = action_size;
  int64_t inputs = observation_size;
  while (const int64_t outputs = HiddenSize(file, network->hidden.size())) {
    const std::string name = absl::StrCat("policy.hidden.", network->hidden.size());
    ASSIGN_OR_RETURN(Layer layer, ReadLayer(file, name, outputs, inputs));
    network->hidden.push_back(std::move(layer));
    inputs = outputs;
  }
  ASSIGN_OR_RETURN(network->mean, ReadLayer(file, "policy.mean", action_size, inputs));
  ASSIGN_OR_RETURN(network->log_stddev, ReadLayer(file, "policy.log_stddev", action_size, inputs));

  const size_t num_expected = 2 * (network->hidden.size() + 2);
  const size_t num_found = std::count_if(file.tensors.begin(), file.tensors.end(), [](const auto& entry) {
    return absl::StartsWith(entry.first, "policy.");
  });
  if (num_found != num_expected) {
    return absl::InvalidArgumentError(absl::StrCat("not a usable policy: ", num_found,
                                                   " tensors under 'policy.', ", network->hidden.size(),
                                                   " hidden layers need ", num_expected));
  }
  ASSIGN_OR_RETURN(network->log_stddev_min, ReadBound(file, "log_stddev_min", kDefaultLogStddevMin));
  ASSIGN_OR_RETURN(network->log_stddev_max, ReadBound(file, "log_stddev_max", kDefaultLogStddevMax));
  if (network->log_stddev_min > network->log_stddev_max) {
    return absl::InvalidArgumentError(absl::StrCat("not a usable policy: log_stddev_min ",
                                                   network->log_stddev_min, " is above log_stddev_max ",
                                                   network->log_stddev_max));
  }
  return std::unique_ptr<MlpPolicy>(new MlpPolicy(std::move(network)));
}

absl::StatusOr<std::unique_ptr<MlpPolicy>> MlpPolicy::Create(absl::string_view payload, int observation_size,
                                                             int action_size) {
  ASSIGN_OR_RETURN(const TensorFile file, DecodeSafetensors(payload));
  return Create(file, observation_size, action_size);
}

int MlpPolicy::observation_size() const { return network_->observation_size; }
int MlpPolicy::action_size() const { return network_->action_size; }

void MlpPolicy::Mean(std::span<const float> observation, std::span<float> action) {
  Network& network = *network_;
  DEMORL_CHECK(static_cast<int>(observation.size()) == network.observation_size);
  DEMORL_CHECK(static_cast<int>(action.size()) == network.action_size);
  network.mean.Apply(network.Features(observation));
  for (int i = 0; i < network.action_size; ++i) {
    action[i] = std::tanh(network.mean.output[i]);
  }
}

void MlpPolicy::Sample(std::span<const float> observation, Random& random, std::span<float> action) {
  Network& network = *network_;
  DEMORL_CHECK(static_cast<int>(observation.size()) == network.observation_size);
  DEMORL_CHECK(static_cast<int>(action.size()) == network.action_size);
  const ConstVectorMap features = network.Features(observation);
  network.mean.Apply(features);
  network.log_stddev.Apply(features);
  for (int i = 0; i < network.action_size; ++i) {
    const float log_stddev =
        std::clamp(network.log_stddev.output[i], network.log_stddev_min, network.log_stddev_max);
    const float draw = static_cast<float>(random.Normal());
    action[i] = std::tanh(network.mean.output[i] + std::exp(log_stddev) * draw);
  }
}

}  // namespace demorl
