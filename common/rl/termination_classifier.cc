#include "common/rl/termination_classifier.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/rl/flat_adam.h"
#include "common/rl/mlp.h"
#include "common/rl/tensor_convert.h"

namespace demorl {
namespace {

constexpr int64_t kHidden = 64;
constexpr int kLayers = 3;
// The logit of a constant answer.
constexpr double kCertain = 20;

struct Data {
  at::Tensor inputs_NO;  // normalised
  at::Tensor labels_N;
  at::Tensor weights_N;  // each class sums to half the rows
};

// Mean weighted cross-entropy.
at::Tensor RowLosses(const at::Tensor& logits_B, const at::Tensor& labels_B, const at::Tensor& weights_B) {
  return weights_B * (at::softplus(logits_B) - labels_B * logits_B);
}

// One training of a network on normalised inputs.
class Fitter {
 public:
  Fitter(int64_t inputs, const TerminationFitOptions& options)
      : options_(options),
        random_(SplitSeed(options.seed, "termination_classifier")),
        size_{.inputs = inputs, .hidden = {kHidden, kHidden}, .outputs = 1},
        parameters_P_(at::zeros({size_.num_parameters()}, at::kFloat)),
        gradients_P_(at::zeros({size_.num_parameters()}, at::kFloat)),
        layers_(ViewLayers(size_, parameters_P_)),
        gradient_layers_(ViewLayers(size_, gradients_P_)),
        adam_(size_.num_parameters(), {.learning_rate = options.learning_rate}) {
    InitialiseLayers(layers_, random_);
  }

  absl::Status Fit(const Data& data) {
    std::vector<int64_t> order(data.labels_N.numel());
    std::iota(order.begin(), order.end(), 0);
    Shuffle(&order);
    const int64_t holdout = std::max<int64_t>(1, std::llround(options_.holdout_ratio * order.size()));
    const std::vector<int64_t> held_out(order.begin(), order.begin() + holdout);
    order.erase(order.begin(), order.begin() + std::min<int64_t>(holdout, order.size() - 1));
    const at::Tensor held_out_rows = ToTensor(held_out, {holdout});
    at::Tensor best = parameters_P_.clone();
    double best_loss = std::numeric_limits<double>::infinity();
    for (int pass = 0, since_best = 0; pass < options_.max_passes && since_best <= options_.patience;
         ++pass) {
      Shuffle(&order);
      RETURN_IF_ERROR(Pass(data, order));
      const double loss = HoldoutLoss(data, held_out_rows);
      if (!std::isfinite(loss)) {
        return absl::DataLossError("holdout loss of the termination classifier is not finite");
      }
      ++since_best;
      if (loss < best_loss) {
        since_best = loss < 0.99 * best_loss ? 0 : since_best;
        best_loss = loss;
        best.copy_(parameters_P_);
      }
    }
    parameters_P_.copy_(best);
    return absl::OkStatus();
  }

  const MlpLayers& layers() const { return layers_; }

 private:
  void Shuffle(std::vector<int64_t>* order) {
    for (size_t i = order->size(); i > 1; --i) {
      std::swap((*order)[i - 1], (*order)[random_.Index(i)]);
    }
  }

  absl::Status Pass(const Data& data, const std::vector<int64_t>& order) {
    const int64_t rows = static_cast<int64_t>(order.size());
    for (int64_t begin = 0; begin < rows; begin += options_.batch_size) {
      if (options_.should_stop && options_.should_stop()) {
        return absl::CancelledError("fitting the termination classifier was stopped");
      }
      const int64_t count = std::min<int64_t>(options_.batch_size, rows - begin);
      Step(data, ToTensor(std::span<const int64_t>(order).subspan(begin, count), {count}));
    }
    return absl::OkStatus();
  }

  void Step(const Data& data, const at::Tensor& rows_B) {
    const int64_t rows = rows_B.numel();
    const at::Tensor inputs = data.inputs_NO.index_select(0, rows_B);
    MlpActivations activations = MlpActivations::Allocate(size_, rows, at::kCPU);
    MlpActivations gradients = MlpActivations::Allocate(size_, rows, at::kCPU);
    Forward(layers_, inputs, activations);
    const at::Tensor error =
        activations.output_BY.select(1, 0).sigmoid() - data.labels_N.index_select(0, rows_B);
    gradients.output_BY.select(1, 0).copy_(error * data.weights_N.index_select(0, rows_B) /
                                           static_cast<double>(rows));
    BackpropagateHidden(layers_, activations, gradients);
    ParameterGradients(inputs, activations, gradients, gradient_layers_);
    adam_.Step(parameters_P_, gradients_P_);
  }

  double HoldoutLoss(const Data& data, const at::Tensor& rows_B) {
    MlpActivations activations = MlpActivations::Allocate(size_, rows_B.numel(), at::kCPU);
    Forward(layers_, data.inputs_NO.index_select(0, rows_B), activations);
    return RowLosses(activations.output_BY.select(1, 0), data.labels_N.index_select(0, rows_B),
                     data.weights_N.index_select(0, rows_B))
        .mean()
        .item<double>();
  }

  const TerminationFitOptions& options_;
  Random random_;
  const MlpSize size_;
  at::Tensor parameters_P_;
  at::Tensor gradients_P_;
  MlpLayers layers_;
  MlpLayers gradient_layers_;
  FlatAdam adam_;
};

}  // namespace

TerminationClassifier::TerminationClassifier(int64_t observation_size) {
  const int64_t sizes[] = {observation_size, kHidden, kHidden, 1};
  for (int layer = 0; layer < kLayers; ++layer) {
    weights_XY_.push_back(at::zeros({sizes[layer], sizes[layer + 1]}, at::kFloat));
    biases_Y_.push_back(at::zeros({sizes[layer + 1]}, at::kFloat));
  }
  biases_Y_.back().fill_(-kCertain);
}

absl::Status TerminationClassifier::Fit(const at::Tensor& next_observations_NO,
                                        const std::vector<uint8_t>& terminated,
                                        const TerminationFitOptions& options) {
  const int64_t rows = next_observations_NO.size(0);
  DEMORL_CHECK(rows == static_cast<int64_t>(terminated.size()) && rows >= 2);
  const int64_t positives = std::count_if(terminated.begin(), terminated.end(), [](uint8_t t) { return t; });
  if (positives == 0 || positives == rows) {
    for (int layer = 0; layer < kLayers; ++layer) {
      weights_XY_[layer].zero_();
      biases_Y_[layer].zero_();
    }
    biases_Y_.back().fill_(positives == 0 ? -kCertain : kCertain);
    return absl::OkStatus();
  }
  const at::Tensor inputs = next_observations_NO.to(at::kDouble);
  const at::Tensor mean = inputs.mean(0);
  const at::Tensor spread = (inputs - mean).square().mean(0).sqrt();
  const at::Tensor stddev = at::where(spread < 1e-12, at::ones_like(spread), spread);
  Data data;
  data.inputs_NO = ((inputs - mean) / stddev).to(at::kFloat);
  data.labels_N = ToTensor(terminated, {rows}).to(at::kFloat);
  const double half = 0.5 * static_cast<double>(rows);
  data.weights_N = at::where(data.labels_N > 0, at::full({rows}, half / positives, at::kFloat),
                             at::full({rows}, half / (rows - positives), at::kFloat));
  Fitter fitter(next_observations_NO.size(1), options);
  RETURN_IF_ERROR(fitter.Fit(data));
  for (int layer = 0; layer < kLayers; ++layer) {
    at::Tensor weight = fitter.layers().weights[layer].t().to(at::kDouble);
    at::Tensor bias = fitter.layers().biases[layer].to(at::kDouble);
    if (layer == 0) {  // (x - mean) / stddev, folded in
      weight = weight / stddev.unsqueeze(1);
      bias = bias - at::mv(weight.t(), mean);
    }
    weights_XY_[layer].copy_(weight);
    biases_Y_[layer].copy_(bias);
  }
  return absl::OkStatus();
}

std::vector<uint8_t> TerminationClassifier::Predict(const at::Tensor& next_observations_NO) const {
  at::Tensor activations = next_observations_NO;
  for (int layer = 0; layer < kLayers; ++layer) {
    activations = at::addmm(biases_Y_[layer], activations, weights_XY_[layer]);
    if (layer + 1 < kLayers) {
      activations.clamp_min_(0);
    }
  }
  return ToVector<uint8_t>((activations.select(1, 0) > 0).to(at::kByte));
}

void TerminationClassifier::Export(TensorFile* file) const {
  for (int layer = 0; layer < kLayers; ++layer) {
    file->tensors[absl::StrCat("termination.", layer, ".weight")] = {weights_XY_[layer].sizes().vec(),
                                                                     ToVector<float>(weights_XY_[layer])};
    file->tensors[absl::StrCat("termination.", layer, ".bias")] = {biases_Y_[layer].sizes().vec(),
                                                                   ToVector<float>(biases_Y_[layer])};
  }
}

void TerminationClassifier::AddTo(TorchState* state) const {
  for (int layer = 0; layer < kLayers; ++layer) {
    state->tensors[absl::StrCat("termination.", layer, ".weight")] = weights_XY_[layer].clone();
    state->tensors[absl::StrCat("termination.", layer, ".bias")] = biases_Y_[layer].clone();
  }
}

absl::Status TerminationClassifier::SetState(const TorchState& state) {
  std::map<std::string, at::Tensor> destinations;
  for (int layer = 0; layer < kLayers; ++layer) {
    destinations[absl::StrCat("termination.", layer, ".weight")] = weights_XY_[layer];
    destinations[absl::StrCat("termination.", layer, ".bias")] = biases_Y_[layer];
  }
  return LoadTensors(state, destinations);
}

}  // namespace demorl
