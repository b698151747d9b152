#include "services/sac_learner/core/sac_learner.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "services/sac_learner/core/sac_trainer.h"

namespace demorl {
namespace {

SacSettings Resolve(const SacLearner::Options& options) {
  const demorl::config::v1::SacConfig& config = options.config;
  SacSettings settings = {
      .observation_size = options.observation_size,
      .action_size = options.action_size,
      .seed = options.seed,
      .device = options.device,
      .discount = config.discount(),
      .tau = config.tau(),
      .learning_rate = config.learning_rate(),
      .log_stddev_min = config.log_stddev_min(),
      .log_stddev_max = config.log_stddev_max(),
      .initial_entropy_temperature = config.initial_entropy_temperature(),
      .learn_entropy_temperature = config.learn_entropy_temperature(),
      .target_entropy = config.has_target_entropy() ? config.target_entropy() : -options.action_size / 2.0,
      .reward_scale = config.reward_scale(),
      .target_update_interval = config.target_update_interval(),
      .value_network = config.value_network(),
      .critic_layer_norm = config.critic_layer_norm(),
      .max_gradient_norm = config.max_gradient_norm(),
      .max_non_finite = config.max_non_finite(),
      .num_threads = config.num_threads(),
  };
  if (config.hidden_sizes_size() > 0) {
    settings.hidden_sizes.assign(config.hidden_sizes().begin(), config.hidden_sizes().end());
  }
  return settings;
}

class TorchSacLearner final : public SacLearner {
 public:
  explicit TorchSacLearner(std::unique_ptr<SacTrainer> trainer) : trainer_(std::move(trainer)) {}

  absl::StatusOr<SacMetrics> Update(const TransitionBatch& batch) override { return trainer_->Update(batch); }
  int64_t num_updates() const override { return trainer_->num_updates(); }
  int64_t num_skipped() const override { return trainer_->num_skipped(); }
  TensorFile PolicyTensors() const override { return trainer_->PolicyTensors(); }
  TensorFile ValueTensors() const override { return trainer_->ValueTensors(); }
  std::string SaveState() const override { return trainer_->SaveState(); }
  absl::Status RestoreState(absl::string_view state) override { return trainer_->RestoreState(state); }

 private:
  const std::unique_ptr<SacTrainer> trainer_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SacLearner>> SacLearner::Create(const Options& options) {
  if (options.observation_size < 1 || options.action_size < 1) {
    return absl::InvalidArgumentError(absl::StrCat("SAC for ", options.observation_size, " observations and ",
                                                   options.action_size,
                                                   " action dimensions; both must be at least 1"));
  }
  if (options.config.log_stddev_min() >= options.config.log_stddev_max()) {
    return absl::InvalidArgumentError(absl::StrCat("sac.log_stddev_min ", options.config.log_stddev_min(),
                                                   " must be below sac.log_stddev_max ",
                                                   options.config.log_stddev_max()));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<SacTrainer> trainer, SacTrainer::Create(Resolve(options)));
  return std::make_unique<TorchSacLearner>(std::move(trainer));
}

}  // namespace demorl
