// Soft actor-critic on flat parameter buffers with the backward pass written out (common/rl).
//
// Source: [1] Haarnoja et al. 2018, "Soft Actor-Critic Algorithms and Applications" (arXiv 1812.05905).
// Differs: all gradients of an update are taken at the weights before it, as in the authors' code, where [1,
// algorithm 1] moves the critics first. So a non-finite loss is known before anything has moved, and the q
// functions see stored and new actions in one pass.
//
// Shapes: B rows, O observation values, A action dimensions, K q functions, P parameters.

#include "services/sac_learner/core/sac_trainer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <exception>
#include <map>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "c10/core/InferenceMode.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/concurrency/worker_pool.h"
#include "common/rl/compute_device.h"
#include "common/rl/flat_adam.h"
#include "common/rl/mlp.h"
#include "common/rl/sac_losses.h"
#include "common/rl/tanh_gaussian.h"
#include "common/rl/tensor_convert.h"
#include "common/rl/torch_state.h"
#include "common/rl/torch_threads.h"
#include "services/sac_learner/core/network_group.h"
#include "services/sac_learner/core/sac_workspace.h"

namespace demorl {
namespace {

// What an update computes before anything moves.
struct Gradients {
  double policy_scale = 1;
  double q_scale = 1;
  double value_scale = 1;
  double temperature = 0;
};

bool AllFinite(std::span<const float> values) {
  // x - x is 0 for finite x and NaN otherwise.
  float sum = 0;
  for (const float value : values) {
    sum += value - value;
  }
  return sum == 0;
}

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

class FlatSacTrainer final : public SacTrainer {
 public:
  FlatSacTrainer(const SacSettings& settings, at::Device device);

  absl::StatusOr<SacMetrics> Update(const TransitionBatch& batch) override;
  int64_t num_updates() const override { return num_updates_; }
  int64_t num_skipped() const override { return num_skipped_; }
  TensorFile PolicyTensors() const override;
  TensorFile ValueTensors() const override;
  std::string SaveState() const override;
  absl::Status RestoreState(absl::string_view state) override;

 private:
  absl::Status CheckBatch(const TransitionBatch& batch) const;
  absl::StatusOr<SacMetrics> TryUpdate(const TransitionBatch& batch);
  absl::Status Skip(const std::string& reason);
  template <typename Task>
  void RunBoth(const Task& task);
  TanhGaussianDraw DrawActions();
  void ValueGradients(const at::Tensor& target_B, SacMetrics* metrics);
  void BackpropagateQ(const at::Tensor& q_KB, const at::Tensor& new_q_KB, const at::Tensor& target_B);
  void CriticAndPolicyGradients(const TanhGaussianDraw& draw_2B);
  void PolicyGradients(const TanhGaussianDraw& draw_2B);
  absl::StatusOr<Gradients> CheckGradients(const SacMetrics& metrics);
  void Apply(const Gradients& gradients);
  double entropy_temperature() const { return std::exp(log_temperature_1_.data_ptr<float>()[0]); }
  std::map<std::string, at::Tensor> StateTensors() const;

  const SacSettings settings_;
  const at::Device device_;
  const SacSizes sizes_;
  Random initial_random_;
  Random random_;
  NetworkGroup policy_;
  NetworkGroup q_;
  std::unique_ptr<NetworkGroup> value_;
  at::Tensor log_temperature_1_;  // CPU
  FlatAdam temperature_adam_;
  SacWorkspace work_;
  WorkerPool pool_;
  int64_t num_updates_ = 0;
  int64_t num_skipped_ = 0;
  int64_t consecutive_skipped_ = 0;
};

FlatSacTrainer::FlatSacTrainer(const SacSettings& settings, at::Device device)
    : settings_(settings),
      device_(device),
      sizes_(SizesOf(settings)),
      initial_random_(SplitSeed(settings.seed, "sac/initial_weights")),
      random_(SplitSeed(settings.seed, "sac/noise")),
      policy_(sizes_.policy, 1, false, {.learning_rate = settings.learning_rate}, device, initial_random_),
      q_(sizes_.q, kNumQ, true, {.learning_rate = settings.learning_rate}, device, initial_random_),
      log_temperature_1_(ToTensor(
          std::vector<float>{static_cast<float>(std::log(settings.initial_entropy_temperature))}, {1})),
      temperature_adam_(1, {.learning_rate = settings.learning_rate}),
      pool_(device.is_cpu() ? std::min(settings.num_threads, 2) : 1, "sac-update") {
  if (settings.value_network) {
    value_ = std::make_unique<NetworkGroup>(
        sizes_.value, 1, true, AdamOptions{.learning_rate = settings.learning_rate}, device, initial_random_);
  }
}

// ---- one update
// --------------------------------------------------------------------------------------------

absl::StatusOr<SacMetrics> FlatSacTrainer::Update(const TransitionBatch& batch) {
  RETURN_IF_ERROR(CheckBatch(batch));
  const Random::State random_before = random_.SaveState();
  absl::StatusOr<SacMetrics> metrics = absl::InternalError("");
  try {
    c10::InferenceMode no_gradient_recording;
    metrics = TryUpdate(batch);
  } catch (const std::exception& error) {
    metrics = absl::InternalError(absl::StrCat("SAC update of ", batch.num_rows, " rows: ", error.what()));
  }
  if (metrics.ok()) {
    consecutive_skipped_ = 0;
    ++num_updates_;
    return metrics;
  }
  random_.RestoreState(random_before);
  if (absl::IsDataLoss(metrics.status())) {
    return Skip(std::string(metrics.status().message()));
  }
  return metrics;
}

absl::Status FlatSacTrainer::CheckBatch(const TransitionBatch& batch) const {
  if (batch.num_rows < 1 || batch.observation_size != settings_.observation_size ||
      batch.action_size != settings_.action_size) {
    return absl::InvalidArgumentError(
        absl::StrFormat("batch of %d rows with %d observation values and %d action dimensions; needed: at "
                        "least 1 row, %d and %d",
                        batch.num_rows, batch.observation_size, batch.action_size, settings_.observation_size,
                        settings_.action_size));
  }
  const size_t rows = static_cast<size_t>(batch.num_rows);
  const size_t observation_values = rows * settings_.observation_size;
  if (batch.observations.size() != observation_values ||
      batch.next_observations.size() != observation_values ||
      batch.actions.size() != rows * settings_.action_size || batch.rewards.size() != rows ||
      batch.terminated.size() != rows) {
    return absl::InvalidArgumentError(
        absl::StrFormat("columns of a batch of %d rows hold %d, %d, %d, %d and %d values", batch.num_rows,
                        batch.observations.size(), batch.actions.size(), batch.rewards.size(),
                        batch.next_observations.size(), batch.terminated.size()));
  }
  return absl::OkStatus();
}

absl::Status FlatSacTrainer::Skip(const std::string& reason) {
  ++num_skipped_;
  ++consecutive_skipped_;
  if (consecutive_skipped_ >= settings_.max_non_finite) {
    return absl::FailedPreconditionError(absl::StrCat(
        consecutive_skipped_, " batches in a row were skipped (allowed: ", settings_.max_non_finite - 1,
        "); the last one: ", reason));
  }
  return absl::DataLossError(reason);
}

absl::StatusOr<SacMetrics> FlatSacTrainer::TryUpdate(const TransitionBatch& batch) {
  if (!AllFinite(batch.observations) || !AllFinite(batch.actions) || !AllFinite(batch.rewards) ||
      !AllFinite(batch.next_observations)) {
    return absl::DataLossError("the batch holds a value that is not finite");
  }
  const int64_t rows = batch.num_rows;
  if (work_.rows != rows) {
    work_ = SacWorkspace::Allocate(sizes_, rows, device_);
  }
  work_.Load(batch, random_);
  const TanhGaussianDraw draw_2B = DrawActions();
  const at::Tensor log_prob_B = draw_2B.log_prob_B.narrow(0, 0, rows);
  RunBoth([this](int k) {
    Forward(q_.target[k], work_.target_inputs_BI, work_.target_q[k]);
    Forward(q_.parameters[k], work_.q_inputs_2BI, work_.q[k]);
  });
  const at::Tensor min_target_q =
      at::minimum(work_.target_q[0].output_BY, work_.target_q[1].output_BY).squeeze(1);
  const double alpha = entropy_temperature();
  const at::Tensor target_B = CriticTarget({.reward_B = work_.rewards_B,
                                            .terminated_B = work_.terminated_B,
                                            .min_next_q_B = min_target_q.narrow(0, 0, rows),
                                            .next_log_prob_B = draw_2B.log_prob_B.narrow(0, rows, rows),
                                            .entropy_temperature = alpha,
                                            .discount = settings_.discount,
                                            .reward_scale = settings_.reward_scale});
  const at::Tensor q_K2B = at::cat({work_.q[0].output_BY, work_.q[1].output_BY}, 1).t();
  const at::Tensor q_KB = q_K2B.narrow(1, 0, rows);
  const at::Tensor new_q_KB = q_K2B.narrow(1, rows, rows);
  BackpropagateQ(q_KB, new_q_KB, target_B);
  CriticAndPolicyGradients(draw_2B);

  const at::Tensor figures =
      at::stack({CriticLoss(q_KB, target_B), PolicyLoss(log_prob_B, std::get<0>(new_q_KB.min(0)), alpha),
                 log_prob_B.mean(), q_KB.mean()})
          .to(at::kCPU);
  const float* figure = figures.data_ptr<float>();
  SacMetrics metrics;
  metrics.critic_loss = figure[0];
  metrics.policy_loss = figure[1];
  metrics.entropy = -figure[2];
  metrics.mean_q = figure[3];
  metrics.entropy_temperature = alpha;
  metrics.entropy_temperature_loss =
      TemperatureLoss(std::log(alpha), -metrics.entropy, settings_.target_entropy);
  if (value_ != nullptr) {
    ValueGradients(ValueTarget(min_target_q.narrow(0, rows, rows), log_prob_B, alpha), &metrics);
  }
  ASSIGN_OR_RETURN(const Gradients gradients, CheckGradients(metrics));
  Apply(gradients);
  return metrics;
}

// task(0) and task(1), at once when there are two threads. Each does the same arithmetic in either case, so
// that the number of threads changes no bit of the weights.
template <typename Task>
void FlatSacTrainer::RunBoth(const Task& task) {
  std::array<std::exception_ptr, 2> errors;
  pool_.Run([&](int thread) {
    c10::InferenceMode no_gradient_recording;  // holds for one thread
    for (int i = thread; i < 2; i += pool_.num_threads()) {
      try {
        task(i);
      } catch (...) {
        errors[i] = std::current_exception();
      }
    }
  });
  for (const std::exception_ptr& error : errors) {
    if (error != nullptr) {
      std::rethrow_exception(error);
    }
  }
}

// a ~ pi(s) and a' ~ pi(s'), written beside their observations.
TanhGaussianDraw FlatSacTrainer::DrawActions() {
  const int64_t rows = work_.rows, action_size = settings_.action_size;
  RunBoth([&](int half) {
    Forward(policy_.parameters[0], work_.observations_2BO.narrow(0, half * rows, rows),
            work_.policy_halves[half]);
  });
  const at::Tensor mean_2BA = work_.policy.output_BY.narrow(1, 0, action_size);
  const at::Tensor log_stddev_2BA = work_.policy.output_BY.narrow(1, action_size, action_size)
                                        .clamp(settings_.log_stddev_min, settings_.log_stddev_max);
  TanhGaussianDraw draw_2B = DrawTanhGaussian(mean_2BA, log_stddev_2BA, work_.noise_2BA);
  work_.SetActions(draw_2B.action_BA);
  return draw_2B;
}

// One backward pass of the q functions serves both losses: stored actions carry the critic's derivative, new
// ones that of min_k Q_k by the action.
void FlatSacTrainer::BackpropagateQ(const at::Tensor& q_KB, const at::Tensor& new_q_KB,
                                    const at::Tensor& target_B) {
  const at::Tensor critic_gradient_KB = CriticLossGradient(q_KB, target_B);
  const at::Tensor first_is_smaller_B = new_q_KB[0].le(new_q_KB[1]).to(at::kFloat);
  RunBoth([&](int k) {
    work_.q_gradients_of_stored[k].output_BY.squeeze(1).copy_(critic_gradient_KB[k]);
    work_.q_gradients_of_new[k].output_BY.squeeze(1).copy_(k == 0 ? first_is_smaller_B
                                                                  : 1 - first_is_smaller_B);
    BackpropagateHidden(q_.parameters[k], work_.q[k], work_.q_gradients[k]);
    InputGradients(q_.parameters[k], work_.q_gradients_of_new[k], settings_.observation_size,
                   settings_.action_size, work_.action_gradients_BA[k]);
  });
}

// The parameter gradients of the q functions cost as much as the policy's whole backward pass.
void FlatSacTrainer::CriticAndPolicyGradients(const TanhGaussianDraw& draw_2B) {
  RunBoth([&](int task) {
    if (task == 0) {
      PolicyGradients(draw_2B);
      return;
    }
    for (int k = 0; k < kNumQ; ++k) {
      ParameterGradients(work_.q_inputs_2BI.narrow(0, 0, work_.rows), work_.q_of_stored[k],
                         work_.q_gradients_of_stored[k], q_.gradients[k]);
    }
  });
}

void FlatSacTrainer::PolicyGradients(const TanhGaussianDraw& draw_2B) {
  const int64_t rows = work_.rows, action_size = settings_.action_size;
  const MlpActivations& policy_of_s = work_.policy_halves[0];
  const at::Tensor& output_gradients = work_.policy_gradients.output_BY;
  PolicyLossGradient({.action_BA = draw_2B.action_BA.narrow(0, 0, rows),
                      .deviation_BA = draw_2B.deviation_BA.narrow(0, 0, rows),
                      .q_gradient_BA = work_.action_gradients_BA[0] + work_.action_gradients_BA[1],
                      .log_stddev_BA = policy_of_s.output_BY.narrow(1, action_size, action_size),
                      .log_stddev_min = settings_.log_stddev_min,
                      .log_stddev_max = settings_.log_stddev_max,
                      .entropy_temperature = entropy_temperature()},
                     output_gradients.narrow(1, 0, action_size),
                     output_gradients.narrow(1, action_size, action_size));
  BackpropagateHidden(policy_.parameters[0], policy_of_s, work_.policy_gradients);
  ParameterGradients(work_.observations_2BO.narrow(0, 0, rows), policy_of_s, work_.policy_gradients,
                     policy_.gradients[0]);
}

void FlatSacTrainer::ValueGradients(const at::Tensor& target_B, SacMetrics* metrics) {
  const at::Tensor s_BO = work_.observations_2BO.narrow(0, 0, work_.rows);
  Forward(value_->parameters[0], s_BO, work_.value);
  const at::Tensor value_1B = work_.value.output_BY.t();
  work_.value_gradients.output_BY.copy_(CriticLossGradient(value_1B, target_B).t());
  BackpropagateHidden(value_->parameters[0], work_.value, work_.value_gradients);
  ParameterGradients(s_BO, work_.value, work_.value_gradients, value_->gradients[0]);
  metrics->value_loss = CriticLoss(value_1B, target_B).item<double>();
}

// DATA_LOSS if a loss or a gradient is not finite; else the factors that clip by norm.
absl::StatusOr<Gradients> FlatSacTrainer::CheckGradients(const SacMetrics& metrics) {
  const auto norm = [](const NetworkGroup& group) {
    return std::sqrt(at::dot(group.gradients_P, group.gradients_P).item<double>());
  };
  const double policy_norm = norm(policy_), q_norm = norm(q_);
  const double value_norm = value_ != nullptr ? norm(*value_) : 0;
  const double all = metrics.critic_loss + metrics.policy_loss + metrics.entropy_temperature_loss +
                     metrics.value_loss + policy_norm + q_norm + value_norm;
  if (!std::isfinite(all)) {
    return absl::DataLossError(
        absl::StrFormat("a loss or gradient is not finite: critic loss %g, policy loss %g, temperature loss "
                        "%g, value loss %g, "
                        "gradient norms %g (policy), %g (q), %g (value)",
                        metrics.critic_loss, metrics.policy_loss, metrics.entropy_temperature_loss,
                        metrics.value_loss, policy_norm, q_norm, value_norm));
  }
  const auto scale = [&](double gradient_norm) {
    const double limit = settings_.max_gradient_norm;
    return limit > 0 && gradient_norm > limit ? limit / gradient_norm : 1.0;
  };
  return Gradients{.policy_scale = scale(policy_norm),
                   .q_scale = scale(q_norm),
                   .value_scale = scale(value_norm),
                   .temperature = TemperatureLossGradient(-metrics.entropy, settings_.target_entropy)};
}

void FlatSacTrainer::Apply(const Gradients& gradients) {
  q_.adam.Step(q_.parameters_P, q_.gradients_P, gradients.q_scale);
  policy_.adam.Step(policy_.parameters_P, policy_.gradients_P, gradients.policy_scale);
  if (settings_.learn_entropy_temperature) {
    temperature_adam_.Step(log_temperature_1_,
                           ToTensor(std::vector<float>{static_cast<float>(gradients.temperature)}, {1}));
  }
  if (value_ != nullptr) {
    value_->adam.Step(value_->parameters_P, value_->gradients_P, gradients.value_scale);
  }
  if ((num_updates_ + 1) % settings_.target_update_interval == 0) {
    PolyakAverage(q_.target_P, q_.parameters_P, settings_.tau);
    if (value_ != nullptr) {
      PolyakAverage(value_->target_P, value_->parameters_P, settings_.tau);
    }
  }
}

// ---- snapshots and state
// -----------------------------------------------------------------------------------

TensorFile FlatSacTrainer::PolicyTensors() const {
  c10::InferenceMode no_gradient_recording;
  const MlpLayers& layers = policy_.parameters[0];
  const int64_t action_size = settings_.action_size;
  TensorFile file;
  AddHidden("policy", layers, &file);
  AddTensor("policy.mean.weight", layers.weights.back().narrow(0, 0, action_size), &file);
  AddTensor("policy.mean.bias", layers.biases.back().narrow(0, 0, action_size), &file);
  AddTensor("policy.log_stddev.weight", layers.weights.back().narrow(0, action_size, action_size), &file);
  AddTensor("policy.log_stddev.bias", layers.biases.back().narrow(0, action_size, action_size), &file);
  file.metadata["log_stddev_min"] = absl::StrFormat("%.17g", settings_.log_stddev_min);
  file.metadata["log_stddev_max"] = absl::StrFormat("%.17g", settings_.log_stddev_max);
  return file;
}

TensorFile FlatSacTrainer::ValueTensors() const {
  c10::InferenceMode no_gradient_recording;
  TensorFile file;
  for (int k = 0; k < kNumQ; ++k) {
    AddValueNetwork(absl::StrCat("q.", k), q_.target[k], &file);
  }
  if (value_ != nullptr) {
    AddValueNetwork("v", value_->target[0], &file);
  }
  file.metadata["entropy_temperature"] = absl::StrFormat("%.9g", entropy_temperature());
  file.metadata["reward_scale"] = absl::StrFormat("%.9g", settings_.reward_scale);
  file.metadata["layer_norm"] = settings_.critic_layer_norm ? "1" : "0";
  return file;
}

std::map<std::string, at::Tensor> FlatSacTrainer::StateTensors() const {
  std::map<std::string, at::Tensor> tensors = {{"log_entropy_temperature", log_temperature_1_}};
  AddLayers("policy", policy_.parameters, &tensors);
  AddLayers("q", q_.parameters, &tensors);
  AddLayers("target_q", q_.target, &tensors);
  tensors.merge(policy_.adam.Tensors("policy_adam"));
  tensors.merge(q_.adam.Tensors("q_adam"));
  tensors.merge(temperature_adam_.Tensors("temperature_adam"));
  if (value_ != nullptr) {
    AddLayers("value", value_->parameters, &tensors);
    AddLayers("target_value", value_->target, &tensors);
    tensors.merge(value_->adam.Tensors("value_adam"));
  }
  return tensors;
}

std::string FlatSacTrainer::SaveState() const {
  c10::InferenceMode no_gradient_recording;
  TorchState state;
  state.tensors = StateTensors();
  const Random::State random = random_.SaveState();
  state.words["random"].assign(random.begin(), random.end());
  state.words["counters"] = {static_cast<uint64_t>(num_updates_), static_cast<uint64_t>(num_skipped_),
                             static_cast<uint64_t>(consecutive_skipped_)};
  state.words["adam_steps"] = {static_cast<uint64_t>(policy_.adam.num_steps()),
                               static_cast<uint64_t>(q_.adam.num_steps()),
                               static_cast<uint64_t>(temperature_adam_.num_steps()),
                               static_cast<uint64_t>(value_ != nullptr ? value_->adam.num_steps() : 0)};
  return EncodeTorchState(state);
}

absl::Status FlatSacTrainer::RestoreState(absl::string_view bytes) {
  c10::InferenceMode no_gradient_recording;
  ASSIGN_OR_RETURN(const TorchState state, DecodeTorchState(bytes));
  Random::State random;
  ASSIGN_OR_RETURN(const std::vector<uint64_t> random_words, LoadWords(state, "random", random.size()));
  ASSIGN_OR_RETURN(const std::vector<uint64_t> counters, LoadWords(state, "counters", 3));
  ASSIGN_OR_RETURN(const std::vector<uint64_t> adam_steps, LoadWords(state, "adam_steps", 4));
  const std::map<std::string, at::Tensor> destinations = StateTensors();
  if (state.tensors.size() != destinations.size()) {
    return absl::InvalidArgumentError(absl::StrCat("state holds ", state.tensors.size(),
                                                   " tensors; needed: ", destinations.size(),
                                                   " (value network or number of layers differs)"));
  }
  RETURN_IF_ERROR(LoadTensors(state, destinations));
  std::copy(random_words.begin(), random_words.end(), random.begin());
  random_.RestoreState(random);
  num_updates_ = static_cast<int64_t>(counters[0]);
  num_skipped_ = static_cast<int64_t>(counters[1]);
  consecutive_skipped_ = static_cast<int64_t>(counters[2]);
  policy_.adam.set_num_steps(static_cast<int64_t>(adam_steps[0]));
  q_.adam.set_num_steps(static_cast<int64_t>(adam_steps[1]));
  temperature_adam_.set_num_steps(static_cast<int64_t>(adam_steps[2]));
  if (value_ != nullptr) {
    value_->adam.set_num_steps(static_cast<int64_t>(adam_steps[3]));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<SacTrainer>> SacTrainer::Create(const SacSettings& settings) {
  ASSIGN_OR_RETURN(const ComputeDevice device, ChooseDevice(settings.device));
  try {
    c10::InferenceMode no_gradient_recording;
    SetTorchThreads(1);  // the threads of an update are the trainer's own
    return std::make_unique<FlatSacTrainer>(settings, at::Device(device.name));
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("cannot make the SAC networks: ", error.what()));
  }
}

}  // namespace demorl
