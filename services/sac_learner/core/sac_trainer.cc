// Soft actor-critic on flat parameter buffers with the backward pass written out (common/rl).
//
// Source: [1] Haarnoja et al. 2018, "Soft Actor-Critic Algorithms and Applications" (arXiv 1812.05905).
// Differs: all gradients of an update are taken at the weights before it, as in the authors' code, where [1,
// algorithm 1] moves the critics first. So a non-finite loss is known before anything has moved, and the q
// functions see stored and new actions in one pass.
//
// Shapes: B rows, O observation values, A action dimensions, K q functions, P parameters.

#include "services/sac_learner/core/sac_trainer.h"

#include <array>
#include <cmath>
#include <cstring>
#include <exception>
#include <map>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "c10/core/InferenceMode.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/rl/flat_adam.h"
#include "common/rl/mlp.h"
#include "common/rl/sac_losses.h"
#include "common/rl/tanh_gaussian.h"
#include "common/rl/tensor_convert.h"
#include "common/rl/torch_state.h"
#include "common/rl/torch_threads.h"

namespace demorl {
namespace {

constexpr int kNumQ = 2;

// `count` networks of one size in one buffer, with their gradients, optimiser and, if wanted, averaged copy.
struct NetworkGroup {
  NetworkGroup(const MlpSize& network_size, int count, bool has_target, const AdamOptions& adam_options,
               at::Device device, Random& random)
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

  MlpSize size;
  at::Tensor parameters_P, gradients_P, target_P;
  std::vector<MlpLayers> parameters, gradients, target;
  FlatAdam adam;
};

// Buffers of one batch size. Rows [0, B) of the doubled ones belong to s (or to the stored action), rows [B,
// 2B) to s' (or to the policy's action).
struct Workspace {
  int64_t rows = 0;
  at::Tensor staging_2BO, staging_actions_BA, staging_rewards_B, staging_terminated_B,
      staging_noise_2BA;  // CPU
  at::Tensor observations_2BO, rewards_B, terminated_B, noise_2BA;
  at::Tensor q_inputs_2BI;
  at::Tensor target_inputs_BI;  // (s', a'), then, with a V network, (s, a ~ pi)
  MlpActivations policy, policy_of_s, policy_gradients;
  std::array<MlpActivations, kNumQ> q, q_of_stored, q_gradients, q_gradients_of_stored, q_gradients_of_new;
  std::array<MlpActivations, kNumQ> target_q;
  MlpActivations value, value_gradients;
  at::Tensor action_gradients_BA;
};

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

absl::StatusOr<at::Device> FindDevice(const std::string& name) {
  if (name == "auto") {
    return at::Device(at::hasCUDA() ? at::kCUDA : at::kCPU);
  }
  if (name == "cpu") {
    return at::Device(at::kCPU);
  }
  if (name == "cuda") {
    if (!at::hasCUDA()) {
      return absl::InvalidArgumentError(
          "device cuda was asked for; this LibTorch sees no CUDA device, only cpu");
    }
    return at::Device(at::kCUDA);
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown device ", name, "; known are auto, cpu and cuda"));
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
  void Allocate(int64_t rows);
  void Load(const TransitionBatch& batch);
  TanhGaussianDraw DrawActions();
  at::Tensor MinTargetQ();
  void ValueGradients(const at::Tensor& target_B, SacMetrics* metrics);
  void CriticAndPolicyGradients(const at::Tensor& q_KB, const at::Tensor& new_q_KB,
                                const at::Tensor& target_B, const TanhGaussianDraw& draw_2B);
  absl::StatusOr<Gradients> CheckGradients(const SacMetrics& metrics);
  void Apply(const Gradients& gradients);
  double entropy_temperature() const { return std::exp(log_temperature_1_.data_ptr<float>()[0]); }
  std::map<std::string, at::Tensor> StateTensors() const;

  const SacSettings settings_;
  const at::Device device_;
  Random initial_random_;
  Random random_;
  NetworkGroup policy_;
  NetworkGroup q_;
  std::unique_ptr<NetworkGroup> value_;
  at::Tensor log_temperature_1_;  // CPU
  FlatAdam temperature_adam_;
  Workspace work_;
  int64_t num_updates_ = 0;
  int64_t num_skipped_ = 0;
  int64_t consecutive_skipped_ = 0;
};

FlatSacTrainer::FlatSacTrainer(const SacSettings& settings, at::Device device)
    : settings_(settings),
      device_(device),
      initial_random_(SplitSeed(settings.seed, "sac/initial_weights")),
      random_(SplitSeed(settings.seed, "sac/noise")),
      policy_({settings.observation_size, settings.hidden_sizes, 2 * settings.action_size}, 1, false,
              {.learning_rate = settings.learning_rate}, device, initial_random_),
      q_({settings.observation_size + settings.action_size, settings.hidden_sizes, 1}, kNumQ, true,
         {.learning_rate = settings.learning_rate}, device, initial_random_),
      log_temperature_1_(ToTensor(
          std::vector<float>{static_cast<float>(std::log(settings.initial_entropy_temperature))}, {1})),
      temperature_adam_(1, {.learning_rate = settings.learning_rate}) {
  if (settings.value_network) {
    value_ = std::make_unique<NetworkGroup>(MlpSize{settings.observation_size, settings.hidden_sizes, 1}, 1,
                                            true, AdamOptions{.learning_rate = settings.learning_rate},
                                            device, initial_random_);
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
    Allocate(rows);
  }
  Load(batch);
  const TanhGaussianDraw draw_2B = DrawActions();
  const at::Tensor log_prob_B = draw_2B.log_prob_B.narrow(0, 0, rows);
  const at::Tensor min_target_q = MinTargetQ();
  const double alpha = entropy_temperature();
  const at::Tensor target_B = CriticTarget({.reward_B = work_.rewards_B,
                                            .terminated_B = work_.terminated_B,
                                            .min_next_q_B = min_target_q.narrow(0, 0, rows),
                                            .next_log_prob_B = draw_2B.log_prob_B.narrow(0, rows, rows),
                                            .entropy_temperature = alpha,
                                            .discount = settings_.discount,
                                            .reward_scale = settings_.reward_scale});
  for (int k = 0; k < kNumQ; ++k) {
    Forward(q_.parameters[k], work_.q_inputs_2BI, work_.q[k]);
  }
  const at::Tensor q_K2B = at::cat({work_.q[0].output_BY, work_.q[1].output_BY}, 1).t();
  const at::Tensor q_KB = q_K2B.narrow(1, 0, rows);
  const at::Tensor new_q_KB = q_K2B.narrow(1, rows, rows);
  CriticAndPolicyGradients(q_KB, new_q_KB, target_B, draw_2B);

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

void FlatSacTrainer::Allocate(int64_t rows) {
  const int64_t observation_size = settings_.observation_size, action_size = settings_.action_size;
  const auto cpu = at::TensorOptions(at::kFloat);
  const auto there = cpu.device(device_);
  Workspace work;
  work.rows = rows;
  work.staging_2BO = at::zeros({2 * rows, observation_size}, cpu);
  work.staging_actions_BA = at::zeros({rows, action_size}, cpu);
  work.staging_rewards_B = at::zeros({rows}, cpu);
  work.staging_terminated_B = at::zeros({rows}, cpu);
  work.staging_noise_2BA = at::zeros({2 * rows, action_size}, cpu);
  work.q_inputs_2BI = at::zeros({2 * rows, observation_size + action_size}, there);
  const int64_t target_rows = value_ != nullptr ? 2 * rows : rows;
  work.target_inputs_BI = at::zeros({target_rows, observation_size + action_size}, there);
  work.policy = MlpActivations::Allocate(policy_.size, 2 * rows, device_);
  work.policy_of_s = work.policy.Rows(0, rows);
  work.policy_gradients = MlpActivations::Allocate(policy_.size, rows, device_);
  for (int k = 0; k < kNumQ; ++k) {
    work.q[k] = MlpActivations::Allocate(q_.size, 2 * rows, device_);
    work.q_of_stored[k] = work.q[k].Rows(0, rows);
    work.q_gradients[k] = MlpActivations::Allocate(q_.size, 2 * rows, device_);
    work.q_gradients_of_stored[k] = work.q_gradients[k].Rows(0, rows);
    work.q_gradients_of_new[k] = work.q_gradients[k].Rows(rows, rows);
    work.target_q[k] = MlpActivations::Allocate(q_.size, target_rows, device_);
  }
  if (value_ != nullptr) {
    work.value = MlpActivations::Allocate(value_->size, rows, device_);
    work.value_gradients = MlpActivations::Allocate(value_->size, rows, device_);
  }
  work.action_gradients_BA = at::zeros({rows, action_size}, there);
  work_ = std::move(work);
}

void FlatSacTrainer::Load(const TransitionBatch& batch) {
  const int64_t rows = work_.rows, observation_size = settings_.observation_size;
  float* observations = work_.staging_2BO.data_ptr<float>();
  std::memcpy(observations, batch.observations.data(), batch.observations.size() * sizeof(float));
  std::memcpy(observations + batch.observations.size(), batch.next_observations.data(),
              batch.next_observations.size() * sizeof(float));
  std::memcpy(work_.staging_actions_BA.data_ptr<float>(), batch.actions.data(),
              batch.actions.size() * sizeof(float));
  std::memcpy(work_.staging_rewards_B.data_ptr<float>(), batch.rewards.data(), rows * sizeof(float));
  float* terminated = work_.staging_terminated_B.data_ptr<float>();
  for (int64_t i = 0; i < rows; ++i) {
    terminated[i] = batch.terminated[i] != 0 ? 1.0f : 0.0f;
  }
  random_.FillNormal(
      {work_.staging_noise_2BA.data_ptr<float>(), static_cast<size_t>(work_.staging_noise_2BA.numel())});
  work_.observations_2BO = work_.staging_2BO.to(device_);  // shares memory on the CPU
  work_.rewards_B = work_.staging_rewards_B.to(device_);
  work_.terminated_B = work_.staging_terminated_B.to(device_);
  work_.noise_2BA = work_.staging_noise_2BA.to(device_);
  const at::Tensor s_BO = work_.observations_2BO.narrow(0, 0, rows);
  const at::Tensor next_s_BO = work_.observations_2BO.narrow(0, rows, rows);
  work_.q_inputs_2BI.narrow(1, 0, observation_size)
      .view({2, rows, observation_size})
      .copy_(s_BO.unsqueeze(0));
  work_.q_inputs_2BI.narrow(0, 0, rows)
      .narrow(1, observation_size, settings_.action_size)
      .copy_(work_.staging_actions_BA);
  work_.target_inputs_BI.narrow(0, 0, rows).narrow(1, 0, observation_size).copy_(next_s_BO);
  if (value_ != nullptr) {
    work_.target_inputs_BI.narrow(0, rows, rows).narrow(1, 0, observation_size).copy_(s_BO);
  }
}

// a ~ pi(s) and a' ~ pi(s'), written beside their observations.
TanhGaussianDraw FlatSacTrainer::DrawActions() {
  const int64_t rows = work_.rows, observation_size = settings_.observation_size,
                action_size = settings_.action_size;
  Forward(policy_.parameters[0], work_.observations_2BO, work_.policy);
  const at::Tensor mean_2BA = work_.policy.output_BY.narrow(1, 0, action_size);
  const at::Tensor log_stddev_2BA = work_.policy.output_BY.narrow(1, action_size, action_size)
                                        .clamp(settings_.log_stddev_min, settings_.log_stddev_max);
  TanhGaussianDraw draw_2B = DrawTanhGaussian(mean_2BA, log_stddev_2BA, work_.noise_2BA);
  const at::Tensor new_actions_BA = draw_2B.action_BA.narrow(0, 0, rows);
  work_.q_inputs_2BI.narrow(0, rows, rows).narrow(1, observation_size, action_size).copy_(new_actions_BA);
  work_.target_inputs_BI.narrow(0, 0, rows)
      .narrow(1, observation_size, action_size)
      .copy_(draw_2B.action_BA.narrow(0, rows, rows));
  if (value_ != nullptr) {
    work_.target_inputs_BI.narrow(0, rows, rows)
        .narrow(1, observation_size, action_size)
        .copy_(new_actions_BA);
  }
  return draw_2B;
}

at::Tensor FlatSacTrainer::MinTargetQ() {
  for (int k = 0; k < kNumQ; ++k) {
    Forward(q_.target[k], work_.target_inputs_BI, work_.target_q[k]);
  }
  return at::minimum(work_.target_q[0].output_BY, work_.target_q[1].output_BY).squeeze(1);
}

// One backward pass of the q functions serves both losses: stored actions carry the critic's derivative, new
// ones that of min_k Q_k by the action.
void FlatSacTrainer::CriticAndPolicyGradients(const at::Tensor& q_KB, const at::Tensor& new_q_KB,
                                              const at::Tensor& target_B, const TanhGaussianDraw& draw_2B) {
  const int64_t rows = work_.rows, action_size = settings_.action_size;
  const at::Tensor critic_gradient_KB = CriticLossGradient(q_KB, target_B);
  const at::Tensor first_is_smaller_B = new_q_KB[0].le(new_q_KB[1]).to(at::kFloat);
  at::Tensor q_gradient_BA = at::zeros_like(work_.action_gradients_BA);
  for (int k = 0; k < kNumQ; ++k) {
    work_.q_gradients_of_stored[k].output_BY.squeeze(1).copy_(critic_gradient_KB[k]);
    work_.q_gradients_of_new[k].output_BY.squeeze(1).copy_(k == 0 ? first_is_smaller_B
                                                                  : 1 - first_is_smaller_B);
    BackpropagateHidden(q_.parameters[k], work_.q[k], work_.q_gradients[k]);
    ParameterGradients(work_.q_inputs_2BI.narrow(0, 0, rows), work_.q_of_stored[k],
                       work_.q_gradients_of_stored[k], q_.gradients[k]);
    InputGradients(q_.parameters[k], work_.q_gradients_of_new[k], settings_.observation_size, action_size,
                   work_.action_gradients_BA);
    q_gradient_BA.add_(work_.action_gradients_BA);
  }
  const at::Tensor& output_gradients = work_.policy_gradients.output_BY;
  PolicyLossGradient({.action_BA = draw_2B.action_BA.narrow(0, 0, rows),
                      .deviation_BA = draw_2B.deviation_BA.narrow(0, 0, rows),
                      .q_gradient_BA = q_gradient_BA,
                      .log_stddev_BA = work_.policy_of_s.output_BY.narrow(1, action_size, action_size),
                      .log_stddev_min = settings_.log_stddev_min,
                      .log_stddev_max = settings_.log_stddev_max,
                      .entropy_temperature = entropy_temperature()},
                     output_gradients.narrow(1, 0, action_size),
                     output_gradients.narrow(1, action_size, action_size));
  BackpropagateHidden(policy_.parameters[0], work_.policy_of_s, work_.policy_gradients);
  ParameterGradients(work_.observations_2BO.narrow(0, 0, rows), work_.policy_of_s, work_.policy_gradients,
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
  return file;
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
  ASSIGN_OR_RETURN(const at::Device device, FindDevice(settings.device));
  try {
    c10::InferenceMode no_gradient_recording;
    SetTorchThreads(settings.num_threads);
    return std::make_unique<FlatSacTrainer>(settings, device);
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("cannot make the SAC networks: ", error.what()));
  }
}

}  // namespace demorl
