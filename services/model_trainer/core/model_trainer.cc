#include "services/model_trainer/core/model_trainer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "services/model_trainer/core/ensemble_trainer.h"

namespace demorl {
namespace {

// The published decays are those of five layers; other depths take the nearest: the first ones ascend, the
// output layer has the largest.
std::vector<double> DefaultWeightDecay(size_t num_layers) {
  constexpr double kAscending[] = {2.5e-5, 5e-5, 7.5e-5};
  std::vector<double> decay;
  for (size_t layer = 0; layer + 1 < num_layers; ++layer) {
    decay.push_back(kAscending[std::min<size_t>(layer, 2)]);
  }
  decay.push_back(1e-4);
  return decay;
}

absl::StatusOr<EnsembleTrainerSettings> MakeSettings(const ModelTrainer::Options& options) {
  const demorl::config::v1::ModelConfig& config = options.config;
  EnsembleTrainerSettings settings;
  settings.observation_size = options.observation_size;
  settings.action_size = options.action_size;
  settings.learn_termination = options.learn_termination;
  settings.seed = options.seed;
  settings.device = options.device;
  settings.should_stop = options.should_stop;
  settings.ensemble_size = config.ensemble_size();
  settings.num_elite_members = config.num_elite_members();
  if (settings.num_elite_members > settings.ensemble_size) {
    return absl::InvalidArgumentError(absl::StrCat("model.num_elite_members is ", settings.num_elite_members,
                                                   ", must be at most model.ensemble_size, ",
                                                   settings.ensemble_size));
  }
  if (config.log_variance_min() >= config.log_variance_max()) {
    return absl::InvalidArgumentError(absl::StrCat("model.log_variance_min is ", config.log_variance_min(),
                                                   ", must be below model.log_variance_max, ",
                                                   config.log_variance_max()));
  }
  if (!config.hidden_sizes().empty()) {
    settings.hidden_sizes.assign(config.hidden_sizes().begin(), config.hidden_sizes().end());
  }
  settings.weight_decay = DefaultWeightDecay(settings.hidden_sizes.size() + 1);
  if (!config.weight_decay().empty()) {
    settings.weight_decay.assign(config.weight_decay().begin(), config.weight_decay().end());
  }
  settings.learning_rate = config.learning_rate();
  settings.batch_size = config.batch_size();
  settings.holdout_ratio = config.holdout_ratio();
  settings.max_holdout_rows = config.max_holdout_rows();
  settings.patience = config.patience();
  settings.patience_steps = config.patience_steps();
  settings.min_improvement = config.min_improvement();
  settings.max_passes = config.max_passes();
  settings.learn_log_variance_bounds = config.learn_log_variance_bounds();
  settings.log_variance_max = config.log_variance_max();
  settings.log_variance_min = config.log_variance_min();
  settings.normalise_targets = config.normalise_targets();
  settings.log_variance_bound_penalty = config.log_variance_bound_penalty();
  settings.warm_start = config.warm_start();
  settings.max_rows = config.max_rows();
  settings.max_non_finite = config.max_non_finite();
  settings.num_threads = config.num_threads();
  return settings;
}

class ModelTrainerImpl final : public ModelTrainer {
 public:
  explicit ModelTrainerImpl(std::unique_ptr<EnsembleTrainer> trainer) : trainer_(std::move(trainer)) {}

  absl::Status AddRows(const TransitionChunk& chunk) override { return trainer_->AddRows(chunk); }
  int64_t num_rows() const override { return trainer_->num_rows(); }
  absl::StatusOr<TrainingReport> Train() override { return trainer_->Train(); }
  int64_t num_trainings() const override { return trainer_->num_trainings(); }
  TensorFile DynamicsTensors() const override { return trainer_->DynamicsTensors(); }
  std::string SaveState() const override { return trainer_->SaveState(); }
  absl::Status RestoreState(absl::string_view state) override { return trainer_->RestoreState(state); }

 private:
  const std::unique_ptr<EnsembleTrainer> trainer_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ModelTrainer>> ModelTrainer::Create(const Options& options) {
  ASSIGN_OR_RETURN(const EnsembleTrainerSettings settings, MakeSettings(options));
  ASSIGN_OR_RETURN(std::unique_ptr<EnsembleTrainer> trainer, EnsembleTrainer::Create(settings));
  return std::make_unique<ModelTrainerImpl>(std::move(trainer));
}

}  // namespace demorl
