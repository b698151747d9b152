#include "common/rl/ensemble_inference.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "ATen/ATen.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "common/rl/compute_device.h"
#include "common/rl/silu.h"
#include "common/rl/tensor_convert.h"

namespace demorl {
namespace {

// Two buffers of so many rows and 200 units stay in the second-level cache.
constexpr int64_t kBlockRowsCpu = 512;
constexpr int64_t kBlockRowsDevice = 1 << 16;
// Small products take other kernels, which round differently: shorter blocks are padded to this many rows, so
// that a row's result does not depend on its neighbours.
constexpr int64_t kMinBlockRows = 64;

struct DenseLayer {
  at::Tensor weight_XY;
  at::Tensor bias_Y;
};

struct Member {
  std::vector<DenseLayer> hidden;
  DenseLayer mean;
  DenseLayer log_variance;
};

at::Tensor Dense(const at::Tensor& input, const DenseLayer& layer, at::Tensor output) {
  at::mm_out(output, input, layer.weight_XY);
  if (output.is_cpu()) {
    AddBias(output.size(0), output.size(1), layer.bias_Y.data_ptr<float>(), output.data_ptr<float>());
  } else {
    output.add_(layer.bias_Y);
  }
  return output;
}

void DenseSilu(const at::Tensor& input, const DenseLayer& layer, at::Tensor& output) {
  at::mm_out(output, input, layer.weight_XY);
  if (output.is_cpu()) {
    AddBiasSilu(output.size(0), output.size(1), layer.bias_Y.data_ptr<float>(), output.data_ptr<float>());
  } else {
    output.add_(layer.bias_Y);
    at::silu_(output);
  }
}

// What the names and shapes of a snapshot say.
struct Layout {
  int64_t members = 0;
  std::vector<int64_t> layer_outputs;  // of the ensemble, output layer last
  std::vector<int> elites;
};

absl::StatusOr<std::vector<int>> ParseElites(const TensorFile& file, int64_t members) {
  const auto found = file.metadata.find("elite_members");
  std::vector<int> elites;
  if (found != file.metadata.end()) {
    for (const absl::string_view text : absl::StrSplit(found->second, ',')) {
      int member = -1;
      if (!absl::SimpleAtoi(text, &member) || member < 0 || member >= members) {
        return absl::InvalidArgumentError(absl::StrCat("elite_members \"", found->second,
                                                       "\" must be numbers of members from 0 to ",
                                                       members - 1, ", separated by commas"));
      }
      elites.push_back(member);
    }
  }
  if (elites.empty()) {
    return absl::InvalidArgumentError("dynamics tensors have no metadata \"elite_members\"");
  }
  return elites;
}

// Checks all tensors of the ensemble against each other.
absl::StatusOr<Layout> CheckLayout(const TensorFile& file, int64_t inputs, int64_t outputs) {
  RETURN_IF_ERROR(CheckFinite(file));
  Layout layout;
  int64_t previous = inputs;
  for (int layer = 0;; ++layer) {
    const auto found = file.tensors.find(absl::StrCat("ensemble.", layer, ".weight"));
    if (found == file.tensors.end()) {
      break;
    }
    const std::vector<int64_t>& shape = found->second.shape;
    if (layer == 0 && shape.size() == 3) {
      layout.members = shape[0];
    }
    if (shape.size() != 3 || layout.members < 1 || shape[2] < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat(found->first, " must have the shape [members, inputs, outputs]"));
    }
    RETURN_IF_ERROR(FindTensor(file, found->first, {layout.members, previous, shape[2]}).status());
    previous = shape[2];
    RETURN_IF_ERROR(
        FindTensor(file, absl::StrCat("ensemble.", layer, ".bias"), {layout.members, previous}).status());
    layout.layer_outputs.push_back(previous);
  }
  if (layout.layer_outputs.size() < 2 || previous != 2 * outputs) {
    return absl::InvalidArgumentError(
        absl::StrCat("dynamics tensors have ", layout.layer_outputs.size(), " layers and ", previous,
                     " outputs; needed: 2 layers or more and ", 2 * outputs, " outputs"));
  }
  for (const char* name : {"log_variance_max", "log_variance_min"}) {
    RETURN_IF_ERROR(FindTensor(file, name, {outputs}).status());
  }
  for (const char* name : {"input_mean", "input_stddev"}) {
    RETURN_IF_ERROR(FindTensor(file, name, {inputs}).status());
  }
  const auto activation = file.metadata.find("activation");
  if (activation != file.metadata.end() && activation->second != "silu") {
    return absl::InvalidArgumentError(
        absl::StrCat("dynamics tensors have the activation ", activation->second, "; needed: silu"));
  }
  ASSIGN_OR_RETURN(layout.elites, ParseElites(file, layout.members));
  return layout;
}

// A termination classifier has ReLU layers with weights [in, out] and one logit; none gives no layers.
absl::StatusOr<std::vector<DenseLayer>> LoadClassifier(const TensorFile& file, int64_t inputs,
                                                       at::Device device) {
  std::vector<DenseLayer> layers;
  for (int layer = 0;; ++layer) {
    const auto found = file.tensors.find(absl::StrCat("termination.", layer, ".weight"));
    if (found == file.tensors.end()) {
      break;
    }
    const NamedTensor& weight = found->second;
    if (weight.shape.size() != 2 || weight.shape[0] != inputs || weight.shape[1] < 1) {
      return absl::InvalidArgumentError(
          absl::StrCat(found->first, " must have the shape [", inputs, ", outputs]"));
    }
    ASSIGN_OR_RETURN(const NamedTensor* bias, FindTensor(file, absl::StrCat("termination.", layer, ".bias"),
                                                         std::vector<int64_t>{weight.shape[1]}));
    layers.push_back(
        {ToTensor(weight.values, weight.shape, device), ToTensor(bias->values, bias->shape, device)});
    inputs = weight.shape[1];
  }
  if (!layers.empty() && inputs != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("the last layer of termination has ", inputs, " outputs; needed: 1"));
  }
  return layers;
}

class EnsembleInferenceImpl final : public EnsembleInference {
 public:
  EnsembleInferenceImpl(const TensorFile& file, const Layout& layout, int observation_size, int action_size,
                        at::Device device, std::vector<DenseLayer> classifier)
      : observation_size_(observation_size),
        action_size_(action_size),
        inputs_(observation_size + action_size),
        outputs_(observation_size + 1),
        device_(device),
        elites_(layout.elites),
        classifier_(std::move(classifier)),
        block_rows_(device.is_cpu() ? kBlockRowsCpu : kBlockRowsDevice) {
    LoadMembers(file, layout);
    const auto values = [&](const char* name) { return file.tensors.at(name).values; };
    input_mean_ = values("input_mean");
    input_stddev_ = values("input_stddev");
    log_variance_max_D_ = ToTensor(values("log_variance_max"), {outputs_}, device);
    log_variance_min_D_ = ToTensor(values("log_variance_min"), {outputs_}, device);
    int64_t widest = 2 * outputs_;
    for (const int64_t width : layout.layer_outputs) {
      widest = std::max(widest, width);
    }
    for (const DenseLayer& layer : classifier_) {
      widest = std::max(widest, layer.bias_Y.numel());
    }
    const auto options = at::TensorOptions(at::kFloat).device(device);
    buffers_[0] = at::zeros({block_rows_ * widest}, options);
    buffers_[1] = at::zeros({block_rows_ * widest}, options);
    input_ = at::zeros({block_rows_ * inputs_}, at::TensorOptions(at::kFloat));
    log_variance_ = at::zeros({block_rows_ * outputs_}, options);
  }

  int observation_size() const override { return observation_size_; }
  int action_size() const override { return action_size_; }
  int num_elite_members() const override { return static_cast<int>(elites_.size()); }
  const std::vector<int>& elite_members() const override { return elites_; }
  bool learned_termination() const override { return !classifier_.empty(); }

  absl::Status Step(std::span<const float> observations, std::span<const float> actions,
                    std::span<const int> members, std::span<const float> draws,
                    ModelStepResult* result) override {
    const size_t rows = members.size();
    RETURN_IF_ERROR(CheckRows(observations, actions, rows));
    if (!draws.empty() && draws.size() != rows * outputs_) {
      return absl::InvalidArgumentError(
          absl::StrCat("draws has ", draws.size(), " values; needed: none or ", rows * outputs_));
    }
    RETURN_IF_ERROR(GroupByMember(members));
    result->rewards.resize(rows);
    result->next_observations.resize(rows * observation_size_);
    result->terminated.assign(rows, 0);
    for (size_t member = 0; member < elites_.size(); ++member) {
      for (int64_t begin = group_begin_[member]; begin < group_begin_[member + 1]; begin += block_rows_) {
        const std::span<const int> block(&grouped_rows_[begin],
                                         std::min<int64_t>(block_rows_, group_begin_[member + 1] - begin));
        GatherInputs(observations, actions, block);
        const Outputs outputs = Run(members_[member], PaddedRows(block.size()), !draws.empty());
        Scatter(outputs, observations, draws, block, result);
      }
    }
    Classify(result);
    return absl::OkStatus();
  }

  absl::Status Disagreement(std::span<const float> observations, std::span<const float> actions,
                            std::vector<float>* disagreement) override {
    const size_t rows = observations.size() / observation_size_;
    RETURN_IF_ERROR(CheckRows(observations, actions, rows));
    disagreement->assign(rows, 0);
    std::vector<int> block;
    std::vector<double> sums, squares;
    for (size_t begin = 0; begin < rows; begin += block_rows_) {
      block.resize(std::min<size_t>(block_rows_, rows - begin));
      for (size_t i = 0; i < block.size(); ++i) {
        block[i] = static_cast<int>(begin + i);
      }
      const size_t values = block.size() * outputs_;
      sums.assign(values, 0);
      squares.assign(values, 0);
      GatherInputs(observations, actions, block);
      for (const Member& member : members_) {
        const Outputs outputs = Run(member, PaddedRows(block.size()), false);
        const float* means = outputs.means.data_ptr<float>();
        for (size_t i = 0; i < values; ++i) {
          sums[i] += means[i];
          squares[i] += static_cast<double>(means[i]) * means[i];
        }
      }
      for (size_t i = 0; i < block.size(); ++i) {
        (*disagreement)[begin + i] = RootMeanVariance(&sums[i * outputs_], &squares[i * outputs_]);
      }
    }
    return absl::OkStatus();
  }

 private:
  struct Outputs {
    at::Tensor means;    // [rows, D], on the CPU
    at::Tensor stddevs;  // [rows, D], on the CPU; undefined unless asked for
  };

  void LoadMembers(const TensorFile& file, const Layout& layout) {
    const size_t num_layers = layout.layer_outputs.size();
    for (const int member : elites_) {
      Member loaded;
      for (size_t layer = 0; layer < num_layers; ++layer) {
        const NamedTensor& weight = file.tensors.at(absl::StrCat("ensemble.", layer, ".weight"));
        const NamedTensor& bias = file.tensors.at(absl::StrCat("ensemble.", layer, ".bias"));
        DenseLayer dense = {ToTensor(weight.values, weight.shape).select(0, member).clone().to(device_),
                            ToTensor(bias.values, bias.shape).select(0, member).clone().to(device_)};
        if (layer + 1 < num_layers) {
          loaded.hidden.push_back(std::move(dense));
          continue;
        }
        const auto half = [&](int64_t first) {
          return DenseLayer{dense.weight_XY.narrow(1, first, outputs_).contiguous(),
                            dense.bias_Y.narrow(0, first, outputs_).contiguous()};
        };
        loaded.mean = half(0);
        loaded.log_variance = half(outputs_);
      }
      members_.push_back(std::move(loaded));
    }
  }

  absl::Status CheckRows(std::span<const float> observations, std::span<const float> actions,
                         size_t rows) const {
    if (observations.size() == rows * observation_size_ && actions.size() == rows * action_size_) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "observations and actions have ", observations.size(), " and ", actions.size(),
        " values; needed for ", rows, " rows: ", rows * observation_size_, " and ", rows * action_size_));
  }

  // Fills grouped_rows_: the rows of elite m, in order, from group_begin_[m] on.
  absl::Status GroupByMember(std::span<const int> members) {
    group_begin_.assign(elites_.size() + 1, 0);
    for (const int member : members) {
      if (member < 0 || member >= num_elite_members()) {
        return absl::InvalidArgumentError(absl::StrCat(
            "member ", member, " of a row is none of the elites, 0 to ", num_elite_members() - 1));
      }
      ++group_begin_[member + 1];
    }
    for (size_t member = 0; member < elites_.size(); ++member) {
      group_begin_[member + 1] += group_begin_[member];
    }
    std::vector<int64_t> next(group_begin_.begin(), group_begin_.end() - 1);
    grouped_rows_.resize(members.size());
    for (size_t row = 0; row < members.size(); ++row) {
      grouped_rows_[next[members[row]]++] = static_cast<int>(row);
    }
    return absl::OkStatus();
  }

  int64_t PaddedRows(size_t rows) const { return std::max<int64_t>(rows, kMinBlockRows); }

  void GatherInputs(std::span<const float> observations, std::span<const float> actions,
                    std::span<const int> rows) {
    float* out = input_.data_ptr<float>();
    for (const int row : rows) {
      const float* observation = &observations[static_cast<size_t>(row) * observation_size_];
      const float* action = actions.data() + static_cast<size_t>(row) * action_size_;
      for (int i = 0; i < observation_size_; ++i) {
        out[i] = (observation[i] - input_mean_[i]) / input_stddev_[i];
      }
      for (int i = 0; i < action_size_; ++i) {
        const int column = observation_size_ + i;
        out[column] = (action[i] - input_mean_[column]) / input_stddev_[column];
      }
      out += inputs_;
    }
    const int64_t padding = PaddedRows(rows.size()) - static_cast<int64_t>(rows.size());
    std::fill(out, out + padding * inputs_, 0.0f);
  }

  at::Tensor Buffer(int index, int64_t rows, int64_t columns) const {
    return buffers_[index].narrow(0, 0, rows * columns).view({rows, columns});
  }

  Outputs Run(const Member& member, int64_t rows, bool with_stddevs) {
    at::Tensor activations = input_.narrow(0, 0, rows * inputs_).view({rows, inputs_});
    if (!device_.is_cpu()) {
      activations = activations.to(device_);
    }
    int next = 0;
    for (const DenseLayer& layer : member.hidden) {
      at::Tensor output = Buffer(next, rows, layer.bias_Y.numel());
      DenseSilu(activations, layer, output);
      activations = output;
      next = 1 - next;
    }
    Outputs outputs;
    outputs.means = Dense(activations, member.mean, Buffer(next, rows, outputs_)).to(at::kCPU);
    if (with_stddevs) {
      const at::Tensor raw = Dense(activations, member.log_variance,
                                   log_variance_.narrow(0, 0, rows * outputs_).view({rows, outputs_}));
      const at::Tensor below = log_variance_max_D_ - at::softplus(log_variance_max_D_ - raw);
      const at::Tensor bounded = log_variance_min_D_ + at::softplus(below - log_variance_min_D_);
      outputs.stddevs = bounded.mul(0.5).exp_().to(at::kCPU);
    }
    return outputs;
  }

  void Scatter(const Outputs& outputs, std::span<const float> observations, std::span<const float> draws,
               std::span<const int> rows, ModelStepResult* result) const {
    float* means = outputs.means.data_ptr<float>();
    const float* stddevs = draws.empty() ? nullptr : outputs.stddevs.data_ptr<float>();
    for (size_t i = 0; i < rows.size(); ++i) {
      const size_t row = static_cast<size_t>(rows[i]);
      float* line = means + i * outputs_;
      if (stddevs != nullptr) {
        const float* draw = &draws[row * outputs_];
        for (int64_t j = 0; j < outputs_; ++j) {
          line[j] += stddevs[i * outputs_ + j] * draw[j];
        }
      }
      result->rewards[row] = line[0];
      const float* from = &observations[row * observation_size_];
      float* to = &result->next_observations[row * observation_size_];
      for (int j = 0; j < observation_size_; ++j) {
        to[j] = from[j] + line[1 + j];
      }
    }
  }

  void Classify(ModelStepResult* result) {
    const int64_t rows = static_cast<int64_t>(result->terminated.size());
    for (int64_t begin = 0; !classifier_.empty() && begin < rows; begin += block_rows_) {
      const int64_t count = std::min(block_rows_, rows - begin);
      at::Tensor activations = ToTensor(std::span<const float>(result->next_observations)
                                            .subspan(begin * observation_size_, count * observation_size_),
                                        {count, observation_size_}, device_);
      for (size_t layer = 0; layer < classifier_.size(); ++layer) {
        activations = Dense(activations, classifier_[layer],
                            Buffer(static_cast<int>(layer % 2), count, classifier_[layer].bias_Y.numel()));
        if (layer + 1 < classifier_.size()) {
          activations.clamp_min_(0);
        }
      }
      const at::Tensor logits = activations.to(at::kCPU);
      const float* values = logits.data_ptr<float>();
      for (int64_t i = 0; i < count; ++i) {
        result->terminated[begin + i] = values[i] > 0;
      }
    }
  }

  float RootMeanVariance(const double* sums, const double* squares) const {
    const double count = static_cast<double>(members_.size());
    double total = 0;
    for (int64_t i = 0; i < outputs_; ++i) {
      const double mean = sums[i] / count;
      total += std::max(0.0, squares[i] / count - mean * mean);
    }
    return static_cast<float>(std::sqrt(total / static_cast<double>(outputs_)));
  }

  const int observation_size_;
  const int action_size_;
  const int64_t inputs_;
  const int64_t outputs_;
  const at::Device device_;
  const std::vector<int> elites_;
  const std::vector<DenseLayer> classifier_;
  const int64_t block_rows_;
  std::vector<Member> members_;  // of the elites
  std::vector<float> input_mean_;
  std::vector<float> input_stddev_;
  at::Tensor log_variance_max_D_;
  at::Tensor log_variance_min_D_;
  at::Tensor buffers_[2];
  at::Tensor input_;
  at::Tensor log_variance_;
  std::vector<int64_t> group_begin_;
  std::vector<int> grouped_rows_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<EnsembleInference>> EnsembleInference::FromTensors(const TensorFile& tensors,
                                                                                  int observation_size,
                                                                                  int action_size,
                                                                                  const std::string& device) {
  ASSIGN_OR_RETURN(const ComputeDevice chosen, ChooseDevice(device));
  ASSIGN_OR_RETURN(const Layout layout,
                   CheckLayout(tensors, observation_size + action_size, observation_size + 1));
  const at::Device place(chosen.name);
  ASSIGN_OR_RETURN(std::vector<DenseLayer> classifier, LoadClassifier(tensors, observation_size, place));
  return std::make_unique<EnsembleInferenceImpl>(tensors, layout, observation_size, action_size, place,
                                                 std::move(classifier));
}

}  // namespace demorl
