#include "services/model_trainer/core/ensemble_trainer.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/check.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/rl/compute_device.h"
#include "common/rl/gaussian_ensemble.h"
#include "common/rl/tensor_convert.h"
#include "common/rl/termination_classifier.h"
#include "common/rl/torch_threads.h"
#include "services/model_trainer/core/ensemble_fit.h"
#include "services/model_trainer/core/row_mirror.h"

namespace demorl {
namespace {

EnsembleOptions MakeEnsembleOptions(const EnsembleTrainerSettings& settings) {
  return {.num_members = settings.ensemble_size,
          .inputs = settings.observation_size + settings.action_size,
          .outputs = 1 + settings.observation_size,
          .hidden_sizes = settings.hidden_sizes,
          .weight_decay = settings.weight_decay,
          .learning_rate = settings.learning_rate,
          .learn_log_variance_bounds = settings.learn_log_variance_bounds,
          .log_variance_max = settings.log_variance_max,
          .log_variance_min = settings.log_variance_min,
          .log_variance_bound_penalty = settings.log_variance_bound_penalty,
          .normalise_targets = settings.normalise_targets};
}

class EnsembleTrainerImpl final : public EnsembleTrainer {
 public:
  EnsembleTrainerImpl(const EnsembleTrainerSettings& settings, at::Device device)
      : settings_(settings),
        device_(device),
        mirror_(settings.observation_size, settings.action_size, settings.max_rows),
        ensemble_(MakeFreshEnsemble()),
        classifier_(settings.observation_size),
        elites_(std::min(settings.ensemble_size, settings.num_elite_members)) {
    std::iota(elites_.begin(), elites_.end(), 0);
  }

  absl::Status AddRows(const TransitionChunk& chunk) override { return mirror_.Add(chunk); }
  int64_t num_rows() const override { return mirror_.num_rows(); }
  int64_t num_trainings() const override { return num_trainings_; }

  absl::StatusOr<TrainingReport> Train() override {
    if (num_rows() < 2) {
      return absl::FailedPreconditionError(
          absl::StrCat("training needs 2 rows or more, there are ", num_rows()));
    }
    SetTorchThreads(settings_.num_threads);
    absl::StatusOr<TrainingReport> report = TrainAll();
    if (report.ok()) {
      non_finite_in_a_row_ = 0;
      ++num_trainings_;
      elites_ = report->elite_members;
    } else if (absl::IsDataLoss(report.status()) && ++non_finite_in_a_row_ >= settings_.max_non_finite) {
      return absl::FailedPreconditionError(absl::StrCat(
          non_finite_in_a_row_, " trainings in a row were not finite: ", report.status().message()));
    }
    return report;
  }

  TensorFile DynamicsTensors() const override {
    TensorFile file;
    ensemble_.Export(&file);
    if (settings_.learn_termination) {
      classifier_.Export(&file);
    }
    file.metadata["elite_members"] = absl::StrJoin(elites_, ",");
    return file;
  }

  std::string SaveState() const override {
    TorchState state = ensemble_.State();
    if (settings_.learn_termination) {
      classifier_.AddTo(&state);
    }
    state.words["trainer.counters"] = {static_cast<uint64_t>(num_trainings_),
                                       static_cast<uint64_t>(non_finite_in_a_row_)};
    state.words["trainer.elites"] = {elites_.begin(), elites_.end()};
    return EncodeTorchState(state);
  }

  absl::Status RestoreState(absl::string_view bytes) override {
    ASSIGN_OR_RETURN(const TorchState state, DecodeTorchState(bytes));
    ASSIGN_OR_RETURN(const std::vector<uint64_t> counters, LoadWords(state, "trainer.counters", 2));
    ASSIGN_OR_RETURN(const std::vector<uint64_t> elites, LoadWords(state, "trainer.elites", elites_.size()));
    for (const uint64_t elite : elites) {
      if (elite >= static_cast<uint64_t>(settings_.ensemble_size)) {
        return absl::InvalidArgumentError(
            absl::StrCat("state names the elite ", elite, " of an ensemble of ", settings_.ensemble_size));
      }
    }
    TerminationClassifier classifier(settings_.observation_size);
    if (settings_.learn_termination) {
      RETURN_IF_ERROR(classifier.SetState(state));
    }
    RETURN_IF_ERROR(ensemble_.SetState(state));
    classifier_ = std::move(classifier);
    elites_.assign(elites.begin(), elites.end());
    num_trainings_ = static_cast<int64_t>(counters[0]);
    non_finite_in_a_row_ = static_cast<int>(counters[1]);
    return absl::OkStatus();
  }

 private:
  GaussianEnsemble MakeFreshEnsemble() const {
    Random random(SplitSeed(settings_.seed, "ensemble_weights", num_trainings_));
    return GaussianEnsemble(MakeEnsembleOptions(settings_), random, device_);
  }

  absl::StatusOr<TrainingReport> TrainAll() {
    const TorchState before = ensemble_.State();
    if (!settings_.warm_start && num_trainings_ > 0) {
      ensemble_ = MakeFreshEnsemble();
    }
    absl::StatusOr<TrainingReport> report = FitBoth();
    if (!report.ok()) {
      DEMORL_CHECK(ensemble_.SetState(before).ok());
    }
    return report;
  }

  absl::StatusOr<TrainingReport> FitBoth() {
    const FitOptions options = {.batch_size = settings_.batch_size,
                                .holdout_ratio = settings_.holdout_ratio,
                                .max_holdout_rows = settings_.max_holdout_rows,
                                .patience = settings_.patience,
                                .patience_steps = settings_.patience_steps,
                                .min_improvement = settings_.min_improvement,
                                .max_passes = settings_.max_passes,
                                .num_elite_members = settings_.num_elite_members,
                                .seed = SplitSeed(settings_.seed, "training", num_trainings_),
                                .holdout_seed = settings_.seed,
                                .first_row = mirror_.num_dropped(),
                                .should_stop = settings_.should_stop};
    const int64_t rows = num_rows(), observation_size = settings_.observation_size;
    ASSIGN_OR_RETURN(
        FitResult result,
        FitEnsemble(ToTensor(mirror_.inputs(), {rows, observation_size + settings_.action_size}),
                    ToTensor(mirror_.targets(), {rows, 1 + observation_size}), options, &ensemble_));
    if (settings_.learn_termination) {
      const std::span<const uint8_t> terminated = mirror_.terminated();
      RETURN_IF_ERROR(classifier_.Fit(ToTensor(mirror_.NextObservations(), {rows, observation_size}),
                                      {terminated.begin(), terminated.end()},
                                      {.seed = options.seed, .should_stop = settings_.should_stop}));
    }
    return std::move(result.report);
  }

  const EnsembleTrainerSettings settings_;
  const at::Device device_;
  RowMirror mirror_;
  int64_t num_trainings_ = 0;
  int non_finite_in_a_row_ = 0;
  GaussianEnsemble ensemble_;
  TerminationClassifier classifier_;
  std::vector<int> elites_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<EnsembleTrainer>> EnsembleTrainer::Create(
    const EnsembleTrainerSettings& settings) {
  if (settings.observation_size < 1 || settings.action_size < 1) {
    return absl::InvalidArgumentError(absl::StrCat("sizes of observation and action are ",
                                                   settings.observation_size, " and ", settings.action_size,
                                                   "; needed: 1 or more"));
  }
  if (settings.weight_decay.size() != settings.hidden_sizes.size() + 1) {
    return absl::InvalidArgumentError(absl::StrCat("weight_decay has ", settings.weight_decay.size(),
                                                   " values; needed: one per layer, ",
                                                   settings.hidden_sizes.size() + 1));
  }
  ASSIGN_OR_RETURN(const ComputeDevice device, ChooseDevice(settings.device));
  return std::make_unique<EnsembleTrainerImpl>(settings, at::Device(device.name));
}

}  // namespace demorl
