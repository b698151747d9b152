#include "services/mpc_rollout/core/planning_networks.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "ATen/ATen.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/rl/mlp.h"
#include "common/rl/tensor_convert.h"

namespace demorl {
namespace {

// Rows that pass through a network together on a CPU: their activations stay in the cache.
constexpr int64_t kTileRows = 1024;

// Tensors <prefix>hidden.<l>.{weight, bias} and the output layers `outputs`, stacked. I inputs.
absl::StatusOr<MlpSize> FindSize(const TensorFile& file, const std::string& prefix, int64_t inputs,
                                 int64_t outputs) {
  MlpSize size{.inputs = inputs, .outputs = outputs};
  while (true) {
    const auto found = file.tensors.find(absl::StrCat(prefix, "hidden.", size.hidden.size(), ".weight"));
    if (found == file.tensors.end()) {
      break;
    }
    if (found->second.shape.size() != 2 || found->second.shape[0] < 1) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", found->first, " is not a matrix"));
    }
    size.hidden.push_back(found->second.shape[0]);
  }
  if (size.hidden.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("no tensor ", prefix, "hidden.0.weight in the snapshot"));
  }
  return size;
}

// A tensor that is missing makes the snapshot as invalid as one of another shape.
absl::StatusOr<const NamedTensor*> Find(const TensorFile& file, const std::string& name,
                                        const std::vector<int64_t>& shape) {
  absl::StatusOr<const NamedTensor*> tensor = FindTensor(file, name, shape);
  return absl::IsNotFound(tensor.status()) ? absl::InvalidArgumentError(tensor.status().message()) : tensor;
}

// A ReLU network that runs any number of rows, tile by tile.
class TiledMlp {
 public:
  static absl::StatusOr<TiledMlp> Load(const TensorFile& file, const std::string& prefix, int64_t inputs,
                                       const std::vector<std::pair<std::string, int64_t>>& outputs,
                                       at::Device device, bool layer_norm = false) {
    int64_t num_outputs = 0;
    for (const auto& [name, width] : outputs) {
      num_outputs += width;
    }
    ASSIGN_OR_RETURN(MlpSize size, FindSize(file, prefix, inputs, num_outputs));
    size.layer_norm = layer_norm;
    TiledMlp mlp(size, device);
    for (int64_t layer = 0; layer + 1 < size.num_layers(); ++layer) {
      RETURN_IF_ERROR(LoadRows(file, absl::StrCat(prefix, "hidden.", layer), 0, size.hidden[layer],
                               mlp.layers_.weights[layer], mlp.layers_.biases[layer]));
    }
    int64_t row = 0;
    for (const auto& [name, width] : outputs) {
      RETURN_IF_ERROR(
          LoadRows(file, prefix + name, row, width, mlp.layers_.weights.back(), mlp.layers_.biases.back()));
      row += width;
    }
    return mlp;
  }

  // input [B, I] -> [B, Y], on the device.
  at::Tensor Run(const at::Tensor& input_BI) {
    const int64_t num_rows = input_BI.size(0);
    at::Tensor output_BY = at::empty({num_rows, size_.outputs}, input_BI.options());
    for (int64_t first = 0; first < num_rows; first += kTileRows) {
      const int64_t count = std::min(kTileRows, num_rows - first);
      MlpActivations tile = scratch_.Rows(0, count);
      tile.output_BY = output_BY.narrow(0, first, count);
      Forward(layers_, input_BI.narrow(0, first, count), tile);
    }
    return output_BY;
  }

 private:
  TiledMlp(const MlpSize& size, at::Device device)
      : size_(size),
        parameters_P_(at::zeros({size.num_parameters()}, at::TensorOptions(at::kFloat).device(device))),
        layers_(ViewLayers(size, parameters_P_)),
        scratch_(MlpActivations::Allocate(size, kTileRows, device)) {}

  static absl::Status LoadRows(const TensorFile& file, const std::string& name, int64_t first, int64_t count,
                               at::Tensor& weights, at::Tensor& biases) {
    const int64_t inputs = weights.size(1);
    ASSIGN_OR_RETURN(const NamedTensor* weight, Find(file, name + ".weight", {count, inputs}));
    ASSIGN_OR_RETURN(const NamedTensor* bias, Find(file, name + ".bias", {count}));
    weights.narrow(0, first, count).copy_(ToTensor(weight->values, {count, inputs}));
    biases.narrow(0, first, count).copy_(ToTensor(bias->values, {count}));
    return absl::OkStatus();
  }

  MlpSize size_;
  at::Tensor parameters_P_;
  MlpLayers layers_;
  MlpActivations scratch_;
};

at::Tensor RowsToTensor(std::span<const float> values, int64_t width, at::Device device) {
  return ToTensor(values, {static_cast<int64_t>(values.size()) / width, width}, device);
}

void TensorToValues(const at::Tensor& tensor, std::vector<float>* values) {
  const at::Tensor source = tensor.to(at::kCPU).contiguous();
  values->resize(source.numel());
  std::memcpy(values->data(), source.data_ptr<float>(), values->size() * sizeof(float));
}

absl::StatusOr<double> Bound(const TensorFile& file, const std::string& name) {
  double value = 0;
  const auto found = file.metadata.find(name);
  if (found == file.metadata.end() || !absl::SimpleAtod(found->second, &value) || !std::isfinite(value)) {
    return absl::InvalidArgumentError(absl::StrCat("metadata ", name, " of the policy snapshot is ",
                                                   found == file.metadata.end() ? "missing" : found->second,
                                                   "; want a number"));
  }
  return value;
}

// By which a learner has multiplied the rewards that it learned values of.
absl::StatusOr<double> RewardScale(const TensorFile& file) {
  const auto found = file.metadata.find("reward_scale");
  double scale = 1;
  if (found != file.metadata.end() &&
      (!absl::SimpleAtod(found->second, &scale) || !std::isfinite(scale) || !(scale > 0))) {
    return absl::InvalidArgumentError(absl::StrCat("metadata reward_scale of the value snapshot is ",
                                                   found->second, "; want a number > 0"));
  }
  return scale;
}

// Whether the hidden layers of a learner's values are normalised.
absl::StatusOr<bool> LayerNorm(const TensorFile& file) {
  const auto found = file.metadata.find("layer_norm");
  if (found == file.metadata.end() || found->second == "0") {
    return false;
  }
  if (found->second == "1") {
    return true;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("metadata layer_norm of the value snapshot is ", found->second, "; want 0 or 1"));
}

class PolicyNetwork final : public PolicyFunction {
 public:
  PolicyNetwork(TiledMlp mlp, int64_t observation_size, int64_t action_size, double log_stddev_min,
                double log_stddev_max, at::Device device)
      : mlp_(std::move(mlp)),
        observation_size_(observation_size),
        action_size_(action_size),
        log_stddev_min_(log_stddev_min),
        log_stddev_max_(log_stddev_max),
        device_(device) {}

  absl::Status Mean(std::span<const float> observations, std::vector<float>* actions) override {
    TensorToValues(Run(observations).narrow(1, 0, action_size_).tanh(), actions);
    return absl::OkStatus();
  }

  absl::Status Sample(std::span<const float> observations, std::span<const float> draws,
                      std::vector<float>* actions) override {
    const at::Tensor output = Run(observations);
    const at::Tensor stddev_BA =
        output.narrow(1, action_size_, action_size_).clamp(log_stddev_min_, log_stddev_max_).exp();
    const at::Tensor draws_BA = RowsToTensor(draws, action_size_, device_);
    TensorToValues((output.narrow(1, 0, action_size_) + stddev_BA * draws_BA).tanh(), actions);
    return absl::OkStatus();
  }

 private:
  at::Tensor Run(std::span<const float> observations) {
    return mlp_.Run(RowsToTensor(observations, observation_size_, device_));
  }

  TiledMlp mlp_;
  const int64_t observation_size_;
  const int64_t action_size_;
  const double log_stddev_min_;
  const double log_stddev_max_;
  const at::Device device_;
};

class ValueNetwork final : public ValueFunction {
 public:
  ValueNetwork(std::vector<TiledMlp> q_functions, std::optional<TiledMlp> value, double reward_scale,
               int64_t observation_size, int64_t action_size, at::Device device,
               std::function<PolicyFunction*()> policy)
      : q_functions_(std::move(q_functions)),
        value_(std::move(value)),
        reward_scale_(reward_scale),
        observation_size_(observation_size),
        action_size_(action_size),
        device_(device),
        policy_(std::move(policy)) {}

  absl::Status Value(std::span<const float> observations, std::vector<float>* values) override {
    if (value_.has_value()) {
      TensorToValues(value_->Run(RowsToTensor(observations, observation_size_, device_)) / reward_scale_,
                     values);
      return absl::OkStatus();
    }
    PolicyFunction* const policy = policy_();
    if (policy == nullptr) {
      return absl::FailedPreconditionError("the value of a state needs a policy; none is set");
    }
    RETURN_IF_ERROR(policy->Mean(observations, &actions_));
    return ActionValue(observations, actions_, values);
  }

  absl::Status ActionValue(std::span<const float> observations, std::span<const float> actions,
                           std::vector<float>* values) override {
    const at::Tensor input = at::cat({RowsToTensor(observations, observation_size_, device_),
                                      RowsToTensor(actions, action_size_, device_)},
                                     1);
    at::Tensor least = q_functions_.front().Run(input);
    for (size_t i = 1; i < q_functions_.size(); ++i) {
      least = at::minimum(least, q_functions_[i].Run(input));
    }
    TensorToValues(least / reward_scale_, values);
    return absl::OkStatus();
  }

 private:
  std::vector<TiledMlp> q_functions_;
  std::optional<TiledMlp> value_;
  const double reward_scale_;
  const int64_t observation_size_;
  const int64_t action_size_;
  const at::Device device_;
  const std::function<PolicyFunction*()> policy_;
  std::vector<float> actions_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<PolicyFunction>> MakePolicyNetwork(const TensorFile& file,
                                                                  int observation_size, int action_size,
                                                                  const std::string& device) {
  RETURN_IF_ERROR(CheckFinite(file));
  ASSIGN_OR_RETURN(const double log_stddev_min, Bound(file, "log_stddev_min"));
  ASSIGN_OR_RETURN(const double log_stddev_max, Bound(file, "log_stddev_max"));
  ASSIGN_OR_RETURN(TiledMlp mlp,
                   TiledMlp::Load(file, "policy.", observation_size,
                                  {{"mean", action_size}, {"log_stddev", action_size}}, device));
  return std::make_unique<PolicyNetwork>(std::move(mlp), observation_size, action_size, log_stddev_min,
                                         log_stddev_max, device);
}

absl::StatusOr<std::unique_ptr<ValueFunction>> MakeValueNetwork(const TensorFile& file, int observation_size,
                                                                int action_size, const std::string& device,
                                                                std::function<PolicyFunction*()> policy) {
  RETURN_IF_ERROR(CheckFinite(file));
  ASSIGN_OR_RETURN(const double reward_scale, RewardScale(file));
  ASSIGN_OR_RETURN(const bool layer_norm, LayerNorm(file));
  std::vector<TiledMlp> q_functions;
  for (const char* prefix : {"q.0.", "q.1."}) {
    ASSIGN_OR_RETURN(TiledMlp q, TiledMlp::Load(file, prefix, observation_size + action_size, {{"out", 1}},
                                                device, layer_norm));
    q_functions.push_back(std::move(q));
  }
  std::optional<TiledMlp> value;
  if (file.tensors.contains("v.out.weight")) {
    ASSIGN_OR_RETURN(value, TiledMlp::Load(file, "v.", observation_size, {{"out", 1}}, device, layer_norm));
  }
  return std::make_unique<ValueNetwork>(std::move(q_functions), std::move(value), reward_scale,
                                        observation_size, action_size, device, std::move(policy));
}

}  // namespace demorl
