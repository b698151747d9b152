#include "services/sac_learner/core/sac_trainer.h"

#include <algorithm>
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
#include "common/rl/compute_device.h"
#include "common/rl/flat_adam.h"
#include "common/rl/sac_losses.h"
#include "common/rl/tensor_convert.h"
#include "common/rl/torch_state.h"
#include "common/rl/torch_threads.h"
#include "services/sac_learner/core/sac_gradients.h"
#include "services/sac_learner/core/sac_networks.h"

namespace demorl {
namespace {

// How far an update goes along the gradients: the factors that clip by norm, and the gradient of the
// temperature.
struct UpdateStep {
  double policy_scale = 1;
  double q_scale = 1;
  double value_scale = 1;
  double temperature_gradient = 0;
};

bool AllFinite(std::span<const float> values) {
  // x - x is 0 for finite x and NaN otherwise.
  float sum = 0;
  for (const float value : values) {
    sum += value - value;
  }
  return sum == 0;
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
  absl::StatusOr<UpdateStep> CheckGradients(const SacMetrics& metrics) const;
  void Apply(const UpdateStep& step);

  const SacSettings settings_;
  Random random_;
  SacNetworks networks_;
  SacGradients gradients_;
  int64_t num_updates_ = 0;
  int64_t num_skipped_ = 0;
  int64_t consecutive_skipped_ = 0;
};

FlatSacTrainer::FlatSacTrainer(const SacSettings& settings, at::Device device)
    : settings_(settings),
      random_(SplitSeed(settings.seed, "sac/noise")),
      networks_(SacNetworks::Make(settings, device)),
      gradients_(settings, device, &networks_) {}

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
  const SacMetrics metrics = gradients_.Compute(batch, random_);
  ASSIGN_OR_RETURN(const UpdateStep step, CheckGradients(metrics));
  Apply(step);
  return metrics;
}

// DATA_LOSS if a loss or a gradient is not finite.
absl::StatusOr<UpdateStep> FlatSacTrainer::CheckGradients(const SacMetrics& metrics) const {
  const auto norm = [](const NetworkGroup& group) {
    return std::sqrt(at::dot(group.gradients_P, group.gradients_P).item<double>());
  };
  const double policy_norm = norm(networks_.policy), q_norm = norm(networks_.q);
  const double value_norm = networks_.value != nullptr ? norm(*networks_.value) : 0;
  const double all = metrics.critic_loss + metrics.policy_loss + metrics.entropy_temperature_loss +
                     metrics.value_loss + policy_norm + q_norm + value_norm;
  if (!std::isfinite(all)) {
    return absl::DataLossError(
        absl::StrFormat("a loss or gradient is not finite: critic loss %g, policy loss %g, temperature loss "
                        "%g, value loss %g, gradient norms %g (policy), %g (q), %g (value)",
                        metrics.critic_loss, metrics.policy_loss, metrics.entropy_temperature_loss,
                        metrics.value_loss, policy_norm, q_norm, value_norm));
  }
  const auto scale = [&](double gradient_norm) {
    const double limit = settings_.max_gradient_norm;
    return limit > 0 && gradient_norm > limit ? limit / gradient_norm : 1.0;
  };
  return UpdateStep{
      .policy_scale = scale(policy_norm),
      .q_scale = scale(q_norm),
      .value_scale = scale(value_norm),
      .temperature_gradient = TemperatureLossGradient(-metrics.entropy, settings_.target_entropy)};
}

void FlatSacTrainer::Apply(const UpdateStep& step) {
  const auto move = [](NetworkGroup& group, double scale) {
    group.adam.Step(group.parameters_P, group.gradients_P, scale);
  };
  move(networks_.q, step.q_scale);
  move(networks_.policy, step.policy_scale);
  if (settings_.learn_entropy_temperature) {
    const std::vector<float> gradient = {static_cast<float>(step.temperature_gradient)};
    networks_.temperature_adam.Step(networks_.log_temperature_1, ToTensor(gradient, {1}));
  }
  if (networks_.value != nullptr) {
    move(*networks_.value, step.value_scale);
  }
  if ((num_updates_ + 1) % settings_.target_update_interval == 0) {
    PolyakAverage(networks_.q.target_P, networks_.q.parameters_P, settings_.tau);
    if (networks_.value != nullptr) {
      PolyakAverage(networks_.value->target_P, networks_.value->parameters_P, settings_.tau);
    }
  }
}

TensorFile FlatSacTrainer::PolicyTensors() const {
  c10::InferenceMode no_gradient_recording;
  return networks_.PolicyTensors(settings_);
}

TensorFile FlatSacTrainer::ValueTensors() const {
  c10::InferenceMode no_gradient_recording;
  return networks_.ValueTensors(settings_);
}

std::string FlatSacTrainer::SaveState() const {
  c10::InferenceMode no_gradient_recording;
  TorchState state;
  state.tensors = networks_.StateTensors();
  const Random::State random = random_.SaveState();
  state.words["random"].assign(random.begin(), random.end());
  state.words["counters"] = {static_cast<uint64_t>(num_updates_), static_cast<uint64_t>(num_skipped_),
                             static_cast<uint64_t>(consecutive_skipped_)};
  state.words["adam_steps"] = networks_.AdamSteps();
  return EncodeTorchState(state);
}

absl::Status FlatSacTrainer::RestoreState(absl::string_view bytes) {
  c10::InferenceMode no_gradient_recording;
  ASSIGN_OR_RETURN(const TorchState state, DecodeTorchState(bytes));
  Random::State random;
  ASSIGN_OR_RETURN(const std::vector<uint64_t> random_words, LoadWords(state, "random", random.size()));
  ASSIGN_OR_RETURN(const std::vector<uint64_t> counters, LoadWords(state, "counters", 3));
  ASSIGN_OR_RETURN(const std::vector<uint64_t> adam_steps, LoadWords(state, "adam_steps", 4));
  const std::map<std::string, at::Tensor> destinations = networks_.StateTensors();
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
  networks_.SetAdamSteps(adam_steps);
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
