#include "common/rl/gaussian_ensemble.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/rl/silu.h"
#include "common/rl/tensor_convert.h"

namespace demorl {
namespace {

constexpr int64_t kEvaluationRows = 1024;

int64_t CountParameters(const EnsembleOptions& options) {
  int64_t inputs = options.inputs;
  int64_t count = 2 * options.outputs;
  for (size_t layer = 0; layer <= options.hidden_sizes.size(); ++layer) {
    const int64_t outputs =
        layer < options.hidden_sizes.size() ? options.hidden_sizes[layer] : 2 * options.outputs;
    count += options.num_members * (inputs + 1) * outputs;
    inputs = outputs;
  }
  return count;
}

double CutNormal(Random& random) {
  double value = random.Normal();
  while (std::abs(value) > 2) {
    value = random.Normal();
  }
  return value;
}

// z_SBY holds z without its bias: activation = silu(z + b), z_SBY becomes the slope.
void ActivateWithSlope(const at::Tensor& bias_SY, at::Tensor& z_SBY, at::Tensor& activation_SBY) {
  if (!z_SBY.is_cpu()) {
    z_SBY.add_(bias_SY.unsqueeze(1));
    const at::Tensor sigmoid = z_SBY.sigmoid();
    at::mul_out(activation_SBY, z_SBY, sigmoid);
    z_SBY.mul_(1 - sigmoid).add_(1).mul_(sigmoid);
    return;
  }
  const int64_t rows = z_SBY.size(1), columns = z_SBY.size(2);
  for (int64_t s = 0; s < z_SBY.size(0); ++s) {
    AddBiasSiluWithSlope(rows, columns, bias_SY.data_ptr<float>() + s * columns,
                         z_SBY.data_ptr<float>() + s * rows * columns,
                         activation_SBY.data_ptr<float>() + s * rows * columns);
  }
}

void MultiplyBySlope(const at::Tensor& slope_SBY, at::Tensor& gradient_SBY, at::Tensor& bias_gradient_SY) {
  if (!slope_SBY.is_cpu()) {
    gradient_SBY.mul_(slope_SBY);
    at::sum_out(bias_gradient_SY, gradient_SBY, {1});
    return;
  }
  const int64_t rows = slope_SBY.size(1), columns = slope_SBY.size(2);
  for (int64_t s = 0; s < slope_SBY.size(0); ++s) {
    MultiplyAndSumColumns(rows, columns, slope_SBY.data_ptr<float>() + s * rows * columns,
                          gradient_SBY.data_ptr<float>() + s * rows * columns,
                          bias_gradient_SY.data_ptr<float>() + s * columns);
  }
}

// Of each column; a stddev below 1e-12 counts as 1.
void TakeMoments(const at::Tensor& rows_NC, at::Tensor* mean_C, at::Tensor* stddev_C) {
  const at::Tensor rows = rows_NC.to(at::kDouble);
  const at::Tensor mean = rows.mean(0);
  const at::Tensor stddev = (rows - mean).square().mean(0).sqrt();
  mean_C->copy_(mean);
  stddev_C->copy_(at::where(stddev < 1e-12, at::ones_like(stddev), stddev));
}

NamedTensor ToNamedTensor(const at::Tensor& tensor) {
  return {.shape = tensor.sizes().vec(), .values = ToVector<float>(tensor)};
}

}  // namespace

GaussianEnsemble::GaussianEnsemble(const EnsembleOptions& options, Random& random, at::Device device)
    : options_(options),
      slice_members_(device.is_cpu() ? 1 : options.num_members),
      parameters_P_(at::zeros({CountParameters(options)}, at::TensorOptions(at::kFloat).device(device))),
      gradients_P_(at::zeros_like(parameters_P_)),
      adam_(parameters_P_.numel(), {.learning_rate = options.learning_rate}, device) {
  DEMORL_CHECK(options.weight_decay.size() == num_layers());
  views_ = ViewsOf(parameters_P_);
  gradient_views_ = ViewsOf(gradients_P_);
  for (Layer& layer : views_.layers) {
    at::Tensor values = at::empty(layer.weight_KXY.sizes(), at::TensorOptions(at::kFloat));
    const double stddev = 1 / (2 * std::sqrt(static_cast<double>(layer.weight_KXY.size(1))));
    float* data = values.data_ptr<float>();
    for (int64_t i = 0; i < values.numel(); ++i) {
      data[i] = static_cast<float>(stddev * CutNormal(random));
    }
    layer.weight_KXY.copy_(values);
  }
  views_.log_variance_max_D.fill_(options.log_variance_max);
  views_.log_variance_min_D.fill_(options.log_variance_min);
  input_mean_I_ = at::zeros({options.inputs}, parameters_P_.options());
  input_stddev_I_ = at::ones({options.inputs}, parameters_P_.options());
  target_mean_D_ = at::zeros({options.outputs}, parameters_P_.options());
  target_stddev_D_ = at::ones({options.outputs}, parameters_P_.options());
}

int64_t GaussianEnsemble::LayerInputs(size_t layer) const {
  return layer == 0 ? options_.inputs : options_.hidden_sizes[layer - 1];
}

int64_t GaussianEnsemble::LayerOutputs(size_t layer) const {
  return layer + 1 == num_layers() ? 2 * options_.outputs : options_.hidden_sizes[layer];
}

GaussianEnsemble::Views GaussianEnsemble::ViewsOf(const at::Tensor& flat_P) const {
  Views views;
  int64_t offset = 0;
  const auto take = [&](std::vector<int64_t> shape) {
    int64_t count = 1;
    for (const int64_t size : shape) {
      count *= size;
    }
    const at::Tensor view = flat_P.narrow(0, offset, count).view(shape);
    offset += count;
    return view;
  };
  const int64_t members = options_.num_members;
  for (size_t layer = 0; layer < num_layers(); ++layer) {
    Layer view;
    view.weight_KXY = take({members, LayerInputs(layer), LayerOutputs(layer)});
    view.bias_KY = take({members, LayerOutputs(layer)});
    views.layers.push_back(std::move(view));
  }
  views.log_variance_max_D = take({options_.outputs});
  views.log_variance_min_D = take({options_.outputs});
  return views;
}

GaussianEnsemble::Views GaussianEnsemble::Slice(const Views& views, int64_t first_member) const {
  Views slice = views;
  for (Layer& layer : slice.layers) {
    layer.weight_KXY = layer.weight_KXY.narrow(0, first_member, slice_members_);
    layer.bias_KY = layer.bias_KY.narrow(0, first_member, slice_members_);
  }
  return slice;
}

GaussianEnsemble::Workspace& GaussianEnsemble::Prepare(int64_t rows) {
  if (workspace_.rows != rows) {
    Workspace fresh;
    fresh.rows = rows;
    for (const int64_t units : options_.hidden_sizes) {
      const std::vector<int64_t> shape = {slice_members_, rows, units};
      fresh.hidden_SBH.push_back(at::empty(shape, parameters_P_.options()));
      fresh.slopes_SBH.push_back(at::empty(shape, parameters_P_.options()));
      fresh.gradients_SBH.push_back(at::empty(shape, parameters_P_.options()));
    }
    fresh.output_SBY = at::empty({slice_members_, rows, 2 * options_.outputs}, parameters_P_.options());
    fresh.output_gradient_SBY = at::empty_like(fresh.output_SBY);
    workspace_ = std::move(fresh);
  }
  return workspace_;
}

void GaussianEnsemble::FitNormaliser(const at::Tensor& inputs_NI, const at::Tensor& targets_ND) {
  TakeMoments(inputs_NI, &input_mean_I_, &input_stddev_I_);
  if (options_.normalise_targets) {
    TakeMoments(targets_ND, &target_mean_D_, &target_stddev_D_);
  }
}

at::Tensor GaussianEnsemble::NormaliseTargets(const at::Tensor& targets_ND) const {
  return (targets_ND - target_mean_D_) / target_stddev_D_;
}

at::Tensor GaussianEnsemble::Normalise(const at::Tensor& inputs_NI) const {
  return (inputs_NI - input_mean_I_) / input_stddev_I_;
}

void GaussianEnsemble::Forward(const Views& slice, const at::Tensor& input_SBI, Workspace& workspace) const {
  const at::Tensor* input = &input_SBI;
  for (size_t layer = 0; layer + 1 < num_layers(); ++layer) {
    at::bmm_out(workspace.slopes_SBH[layer], *input, slice.layers[layer].weight_KXY);
    ActivateWithSlope(slice.layers[layer].bias_KY, workspace.slopes_SBH[layer], workspace.hidden_SBH[layer]);
    input = &workspace.hidden_SBH[layer];
  }
  at::bmm_out(workspace.output_SBY, *input, slice.layers.back().weight_KXY);
  workspace.output_SBY.add_(slice.layers.back().bias_KY.unsqueeze(1));
}

// max - softplus(max - x), then min + softplus(x - min) [PETS, appendix A.1].
at::Tensor GaussianEnsemble::BoundLogVariance(const at::Tensor& raw) const {
  const at::Tensor below = views_.log_variance_max_D - at::softplus(views_.log_variance_max_D - raw);
  return views_.log_variance_min_D + at::softplus(below - views_.log_variance_min_D);
}

double GaussianEnsemble::Likelihood(const at::Tensor& targets_SBD, Views& gradients, Workspace& workspace) {
  const int64_t outputs = options_.outputs;
  const double scale = 1.0 / static_cast<double>(targets_SBD.size(1) * outputs);
  const at::Tensor error = workspace.output_SBY.narrow(2, 0, outputs) - targets_SBD;
  const at::Tensor from_max = views_.log_variance_max_D - workspace.output_SBY.narrow(2, outputs, outputs);
  const at::Tensor from_min = views_.log_variance_max_D - at::softplus(from_max) - views_.log_variance_min_D;
  const at::Tensor log_variance = views_.log_variance_min_D + at::softplus(from_min);
  const at::Tensor weighted_error = error * at::exp(-log_variance);
  const at::Tensor ratio = weighted_error * error;
  const double loss = (ratio + log_variance).sum().item<double>() * scale;

  at::Tensor mean_gradient = workspace.output_gradient_SBY.narrow(2, 0, outputs);
  at::mul_out(mean_gradient, weighted_error, at::scalar_tensor(2 * scale, error.options()));
  const at::Tensor by_log_variance = (1 - ratio).mul_(scale);
  const at::Tensor below_slope = at::sigmoid(from_min);
  const at::Tensor by_below = by_log_variance * below_slope;
  const at::Tensor max_slope = at::sigmoid(from_max);
  at::Tensor raw_gradient = workspace.output_gradient_SBY.narrow(2, outputs, outputs);
  at::mul_out(raw_gradient, by_below, max_slope);
  if (options_.learn_log_variance_bounds) {
    gradients.log_variance_max_D.add_((by_below - raw_gradient).flatten(0, 1).sum(0));
    gradients.log_variance_min_D.add_((by_log_variance - by_below).flatten(0, 1).sum(0));
  }
  return loss;
}

void GaussianEnsemble::Backward(const Views& slice, Views& gradient_slice, const at::Tensor& input_SBI,
                                Workspace& workspace) {
  at::Tensor* gradient = &workspace.output_gradient_SBY;
  at::sum_out(gradient_slice.layers.back().bias_KY, *gradient, {1});
  for (size_t layer = num_layers(); layer-- > 0;) {
    const at::Tensor& input = layer == 0 ? input_SBI : workspace.hidden_SBH[layer - 1];
    // The decay's gradient, c_l W_l, comes along as the product's start value.
    at::baddbmm_out(gradient_slice.layers[layer].weight_KXY, slice.layers[layer].weight_KXY,
                    input.transpose(1, 2), *gradient, options_.weight_decay[layer], 1);
    if (layer > 0) {
      at::Tensor& lower = workspace.gradients_SBH[layer - 1];
      at::bmm_out(lower, *gradient, slice.layers[layer].weight_KXY.transpose(1, 2));
      MultiplyBySlope(workspace.slopes_SBH[layer - 1], lower, gradient_slice.layers[layer - 1].bias_KY);
      gradient = &lower;
    }
  }
}

double GaussianEnsemble::LossAndGradients(const at::Tensor& normalised_NI, const at::Tensor& normalised_ND,
                                          const at::Tensor& rows_KB) {
  const int64_t members = options_.num_members, batch = rows_KB.size(1);
  DEMORL_CHECK(rows_KB.size(0) == members);
  Workspace& workspace = Prepare(batch);
  const double penalty = options_.learn_log_variance_bounds ? options_.log_variance_bound_penalty : 0;
  gradient_views_.log_variance_max_D.fill_(penalty);
  gradient_views_.log_variance_min_D.fill_(-penalty);
  double loss = 0;
  for (int64_t first = 0; first < members; first += slice_members_) {
    const at::Tensor rows = rows_KB.narrow(0, first, slice_members_).reshape({-1});
    const at::Tensor input =
        normalised_NI.index_select(0, rows).view({slice_members_, batch, options_.inputs});
    const at::Tensor targets =
        normalised_ND.index_select(0, rows).view({slice_members_, batch, options_.outputs});
    const Views slice = Slice(views_, first);
    Views gradient_slice = Slice(gradient_views_, first);
    Forward(slice, input, workspace);
    loss += Likelihood(targets, gradient_slice, workspace);
    Backward(slice, gradient_slice, input, workspace);
  }
  return loss / static_cast<double>(members);
}

double GaussianEnsemble::TrainStep(const at::Tensor& normalised_NI, const at::Tensor& normalised_ND,
                                   const at::Tensor& rows_KB) {
  const double loss = LossAndGradients(normalised_NI, normalised_ND, rows_KB);
  if (std::isfinite(loss)) {
    adam_.Step(parameters_P_, gradients_P_);
  }
  return loss;
}

GaussianEnsemble::Prediction GaussianEnsemble::Predict(const at::Tensor& normalised_NI) {
  const int64_t rows = normalised_NI.size(0), outputs = options_.outputs;
  Prediction prediction;
  prediction.means_KND = at::empty({options_.num_members, rows, outputs}, parameters_P_.options());
  prediction.log_variances_KND = at::empty_like(prediction.means_KND);
  for (int64_t begin = 0; begin < rows; begin += kEvaluationRows) {
    const int64_t count = std::min(kEvaluationRows, rows - begin);
    const at::Tensor input =
        normalised_NI.narrow(0, begin, count).unsqueeze(0).expand({slice_members_, -1, -1}).contiguous();
    Workspace& workspace = Prepare(count);
    for (int64_t first = 0; first < options_.num_members; first += slice_members_) {
      Forward(Slice(views_, first), input, workspace);
      const auto part = [&](at::Tensor& whole) {
        return whole.narrow(0, first, slice_members_).narrow(1, begin, count);
      };
      part(prediction.means_KND).copy_(workspace.output_SBY.narrow(2, 0, outputs));
      part(prediction.log_variances_KND)
          .copy_(BoundLogVariance(workspace.output_SBY.narrow(2, outputs, outputs)));
    }
  }
  return prediction;
}

std::vector<double> GaussianEnsemble::MeanSquaredErrors(const at::Tensor& normalised_NI,
                                                        const at::Tensor& normalised_ND) {
  const Prediction prediction = Predict(normalised_NI);
  return ToVector<double>((prediction.means_KND - normalised_ND).to(at::kDouble).square().flatten(1).mean(1));
}

std::vector<at::Tensor> GaussianEnsemble::CopyMember(int64_t member) const {
  std::vector<at::Tensor> tensors;
  for (const Layer& layer : views_.layers) {
    tensors.push_back(layer.weight_KXY.select(0, member).clone());
    tensors.push_back(layer.bias_KY.select(0, member).clone());
  }
  return tensors;
}

void GaussianEnsemble::SetMember(int64_t member, const std::vector<at::Tensor>& tensors) {
  DEMORL_CHECK(tensors.size() == 2 * num_layers());
  for (size_t layer = 0; layer < num_layers(); ++layer) {
    views_.layers[layer].weight_KXY.select(0, member).copy_(tensors[2 * layer]);
    views_.layers[layer].bias_KY.select(0, member).copy_(tensors[2 * layer + 1]);
  }
}

TorchState GaussianEnsemble::State() const {
  TorchState state;
  state.tensors = adam_.Tensors("ensemble.adam");
  state.tensors["ensemble.parameters"] = parameters_P_;
  state.tensors["ensemble.input_mean"] = input_mean_I_;
  state.tensors["ensemble.input_stddev"] = input_stddev_I_;
  state.tensors["ensemble.target_mean"] = target_mean_D_;
  state.tensors["ensemble.target_stddev"] = target_stddev_D_;
  for (auto& [name, tensor] : state.tensors) {
    tensor = tensor.clone();
  }
  state.words["ensemble.adam.num_steps"] = {static_cast<uint64_t>(adam_.num_steps())};
  return state;
}

absl::Status GaussianEnsemble::SetState(const TorchState& state) {
  std::map<std::string, at::Tensor> destinations = adam_.Tensors("ensemble.adam");
  destinations["ensemble.parameters"] = parameters_P_;
  destinations["ensemble.input_mean"] = input_mean_I_;
  destinations["ensemble.input_stddev"] = input_stddev_I_;
  destinations["ensemble.target_mean"] = target_mean_D_;
  destinations["ensemble.target_stddev"] = target_stddev_D_;
  const absl::StatusOr<std::vector<uint64_t>> steps = LoadWords(state, "ensemble.adam.num_steps", 1);
  if (!steps.ok()) {
    return steps.status();
  }
  const absl::Status status = LoadTensors(state, destinations);
  if (status.ok()) {
    adam_.set_num_steps(static_cast<int64_t>(steps->front()));
  }
  return status;
}

void GaussianEnsemble::Export(TensorFile* file) const {
  const auto add = [file](size_t layer, const at::Tensor& weight_KXY, const at::Tensor& bias_KY) {
    file->tensors[absl::StrCat("ensemble.", layer, ".weight")] = ToNamedTensor(weight_KXY);
    file->tensors[absl::StrCat("ensemble.", layer, ".bias")] = ToNamedTensor(bias_KY);
  };
  for (size_t layer = 0; layer + 1 < num_layers(); ++layer) {
    add(layer, views_.layers[layer].weight_KXY, views_.layers[layer].bias_KY);
  }
  // y = mean + stddev y', so the log variance moves by 2 log stddev, and its soft bounds with it.
  const at::Tensor shift_D = 2 * target_stddev_D_.log();
  const at::Tensor scale_Y = at::cat({target_stddev_D_, at::ones_like(target_stddev_D_)});
  const at::Tensor shift_Y = at::cat({target_mean_D_, shift_D});
  const Layer& last = views_.layers.back();
  add(num_layers() - 1, last.weight_KXY * scale_Y, last.bias_KY * scale_Y + shift_Y);
  file->tensors["input_mean"] = ToNamedTensor(input_mean_I_);
  file->tensors["input_stddev"] = ToNamedTensor(input_stddev_I_);
  file->tensors["log_variance_max"] = ToNamedTensor(views_.log_variance_max_D + shift_D);
  file->tensors["log_variance_min"] = ToNamedTensor(views_.log_variance_min_D + shift_D);
  file->metadata["activation"] = "silu";
}

}  // namespace demorl
