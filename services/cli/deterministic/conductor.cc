#include "services/cli/deterministic/conductor.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/base/checkpoint_store.h"
#include "common/base/clock.h"
#include "common/base/epoch_schedule.h"
#include "common/base/file_io.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/env/registry.h"
#include "nlohmann/json.hpp"
#include "services/actor/core/episode_collector.h"
#include "services/cli/run/progress_display.h"
#include "services/cli/run/scalar_log.h"
#include "services/cli/run/service_names.h"
#include "services/model_trainer/core/model_trainer.h"
#include "services/mpc_rollout/core/rollout_planner.h"
#include "services/replay/core/replay_config.h"
#include "services/replay/core/replay_core.h"
#include "services/sac_learner/core/batch_shares.h"
#include "services/sac_learner/core/sac_learner.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;
using ::demorl::config::v1::RunConfig;

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t kProgressIntervalSteps = 250;
constexpr int kKeptCheckpoints = 2;
constexpr int kReturnWindow = 10;

// All cores of a run, and what the schedule needs to know between two steps.
class Conductor {
 public:
  static absl::StatusOr<std::unique_ptr<Conductor>> Create(RunFolder& folder);
  absl::Status Run(StopToken stop);

 private:
  explicit Conductor(RunFolder& folder)
      : folder_(folder),
        config_(folder.config()),
        checkpoints_(folder.path() / "checkpoints", kKeptCheckpoints),
        display_(config_.environment_steps()),
        log_(folder.path()),
        start_(absl::Now()) {}

  absl::Status CreateCores(const EnvironmentSpec& spec);
  absl::Status OpenTables(const EnvironmentSpec& spec);
  absl::Status CreateModelCores(const EnvironmentSpec& spec);

  // The steps of Algorithm 1.
  absl::Status TrainModel();
  absl::Status PlanRounds();
  absl::Status CollectStep();
  absl::Status UpdateLearner();

  absl::Status EvaluatePolicy();
  absl::Status StorePolicy(const TensorFile& policy);
  absl::Status RecordProgress();
  absl::Status WriteSummary(bool finished);
  absl::Status SaveCheckpoint();
  absl::Status LoadCheckpoint();

  int64_t steps() const { return collector_->num_steps(); }
  bool model_due() const {
    return config_.model_based() && steps() >= config_.sac().learning_starts() &&
           steps() % config_.model().train_interval_steps() == 0 &&
           (config_.model().last_epoch() == 0 || steps() <= config_.model().last_epoch() * kRowsPerEpoch);
  }
  double WallSeconds() const { return absl::ToDoubleSeconds(absl::Now() - start_); }

  RunFolder& folder_;
  const RunConfig config_;
  CheckpointStore checkpoints_;
  ProgressDisplay display_;
  ScalarLog log_;
  const absl::Time start_;

  std::unique_ptr<EpisodeCollector> collector_;
  std::unique_ptr<ReplayCore> replay_;
  std::unique_ptr<SacLearner> learner_;
  std::unique_ptr<ModelTrainer> trainer_;
  std::unique_ptr<RolloutPlanner> planner_;
  WriterHandle environment_writer_;
  WriterHandle planner_writer_;

  std::vector<double> recent_returns_;
  SacMetrics sac_metrics_;
  std::optional<TrainingReport> training_;
  int horizon_steps_ = 0;
  double base_return_ = kUnknown;
  double plan_return_ = kUnknown;
  int64_t planned_rows_ = 0;
};

absl::StatusOr<std::unique_ptr<Conductor>> Conductor::Create(RunFolder& folder) {
  std::unique_ptr<Conductor> conductor(new Conductor(folder));
  const absl::StatusOr<EnvironmentSpec> spec = GetEnvironmentSpec(conductor->config_.environment());
  if (!spec.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--deterministic needs a native environment: ", spec.status().message()));
  }
  RETURN_IF_ERROR(conductor->CreateCores(*spec));
  RETURN_IF_ERROR(conductor->LoadCheckpoint());
  return conductor;
}

absl::Status Conductor::CreateCores(const EnvironmentSpec& spec) {
  const uint64_t seed = config_.seed();
  ASSIGN_OR_RETURN(collector_,
                   EpisodeCollector::Create({.environment_id = config_.environment(),
                                             .num_environments = config_.actor().num_environments(),
                                             .num_threads = config_.actor().num_threads(),
                                             .chunk_steps = config_.actor().chunk_steps(),
                                             .seed = SplitSeed(seed, "actor")}));
  RETURN_IF_ERROR(OpenTables(spec));
  ASSIGN_OR_RETURN(learner_,
                   SacLearner::Create({.config = config_.sac(),
                                       .observation_size = spec.observation_size,
                                       .action_size = spec.action_size,
                                       .seed = SplitSeed(seed, "sac_learner"),
                                       .device = config_.device() == "auto" ? "cpu" : config_.device()}));
  RETURN_IF_ERROR(collector_->SetPolicy(learner_->PolicyTensors(), 1));
  return config_.model_based() ? CreateModelCores(spec) : absl::OkStatus();
}

absl::Status Conductor::OpenTables(const EnvironmentSpec& spec) {
  ASSIGN_OR_RETURN(const ReplayOptions options, ReplayOptionsFromConfig(config_.replay(), config_.run_id(),
                                                                        SplitSeed(config_.seed(), "replay")));
  ASSIGN_OR_RETURN(replay_, ReplayCore::Create(options, RealClock::Get(), nullptr));
  ASSIGN_OR_RETURN(environment_writer_, replay_->OpenWriter({.table = "env",
                                                             .writer_id = "conductor",
                                                             .writer_epoch = 1,
                                                             .environment = spec,
                                                             .simulated = false}));
  if (config_.model_based()) {
    ASSIGN_OR_RETURN(planner_writer_, replay_->OpenWriter({.table = "mpc",
                                                           .writer_id = "conductor",
                                                           .writer_epoch = 1,
                                                           .environment = spec,
                                                           .simulated = false}));
  }
  return absl::OkStatus();
}

absl::Status Conductor::CreateModelCores(const EnvironmentSpec& spec) {
  const std::string device = config_.device() == "auto" ? "cpu" : config_.device();
  ASSIGN_OR_RETURN(trainer_, ModelTrainer::Create({.config = config_.model(),
                                                   .observation_size = spec.observation_size,
                                                   .action_size = spec.action_size,
                                                   .seed = SplitSeed(config_.seed(), "model_trainer"),
                                                   .device = device}));
  ASSIGN_OR_RETURN(const TerminationRule rule, GetTerminationRule(config_.environment()));
  ASSIGN_OR_RETURN(planner_, RolloutPlanner::Create({.config = config_.planner(),
                                                     .discount = config_.sac().discount(),
                                                     .observation_size = spec.observation_size,
                                                     .action_size = spec.action_size,
                                                     .environment_id = config_.environment(),
                                                     .termination_rule = rule,
                                                     .seed = SplitSeed(config_.seed(), "mpc_rollout"),
                                                     .device = device}));
  return absl::OkStatus();
}

absl::Status Conductor::TrainModel() {
  ASSIGN_OR_RETURN(training_, trainer_->Train());
  return planner_->SetDynamics(trainer_->DynamicsTensors(), static_cast<uint64_t>(trainer_->num_trainings()));
}

absl::Status Conductor::PlanRounds() {
  const auto version = static_cast<uint64_t>(learner_->num_updates()) + 1;
  RETURN_IF_ERROR(planner_->SetPolicy(learner_->PolicyTensors(), version));
  RETURN_IF_ERROR(planner_->SetValue(learner_->ValueTensors(), version));
  for (int round = 0; round < config_.planner().rounds_per_model(); ++round) {
    ASSIGN_OR_RETURN(const DrawnBatch starts,
                     replay_->TrySample({.shares = {{"env", config_.planner().num_start_states()}},
                                         .counts_as_update = false}));
    ASSIGN_OR_RETURN(const PlanningReport report, planner_->PlanRound(starts.batch.observations, steps()));
    const uint64_t sequence = replay_->Position(planner_writer_).accepted_sequence + 1;
    RETURN_IF_ERROR(replay_->Append(planner_writer_, sequence, report.rows));
    planned_rows_ += report.rows.num_rows();
    horizon_steps_ = report.horizon_steps;
    base_return_ = report.base_return;
    plan_return_ = report.plan_return;
  }
  return absl::OkStatus();
}

absl::Status Conductor::CollectStep() {
  RETURN_IF_ERROR(collector_->Step(/*random_actions=*/steps() < config_.sac().learning_starts()));
  const TransitionChunk chunk = collector_->TakeChunk(/*flush=*/true);
  const uint64_t sequence = replay_->Position(environment_writer_).accepted_sequence + 1;
  RETURN_IF_ERROR(replay_->Append(environment_writer_, sequence, chunk));
  if (trainer_ != nullptr) {
    RETURN_IF_ERROR(trainer_->AddRows(chunk));
  }
  for (const EpisodeSummary& episode : collector_->TakeEpisodes()) {
    recent_returns_.push_back(episode.episode_return);
    if (recent_returns_.size() > kReturnWindow) {
      recent_returns_.erase(recent_returns_.begin());
    }
  }
  return absl::OkStatus();
}

// As many updates as replay's limiter has earned by now.
absl::Status Conductor::UpdateLearner() {
  const BatchSpec spec = {.shares = BatchShares(config_, steps())};
  bool updated = false;
  while (true) {
    absl::StatusOr<DrawnBatch> drawn = replay_->TrySample(spec);
    if (absl::IsUnavailable(drawn.status())) {
      break;
    }
    RETURN_IF_ERROR(drawn.status());
    absl::StatusOr<SacMetrics> metrics = learner_->Update(drawn->batch);
    if (metrics.ok()) {
      sac_metrics_ = *metrics;
    } else if (!absl::IsDataLoss(metrics.status())) {  // a skipped batch is counted by the learner
      return metrics.status();
    }
    updated = true;
  }
  return updated ? collector_->SetPolicy(learner_->PolicyTensors(),
                                         static_cast<uint64_t>(learner_->num_updates()) + 1)
                 : absl::OkStatus();
}

absl::Status Conductor::StorePolicy(const TensorFile& policy) {
  const fs::path policies = folder_.path() / ServiceFolder("snapshot") / "policy";
  RETURN_IF_ERROR(MakeFolders(policies));
  return WriteFileAtomically(policies / absl::StrFormat("%010d.safetensors", learner_->num_updates()),
                             EncodeSafetensors(policy));
}

absl::Status Conductor::EvaluatePolicy() {
  const TensorFile policy = learner_->PolicyTensors();
  ASSIGN_OR_RETURN(
      const EvaluationResult result,
      Evaluate(policy, {.environment_id = config_.environment(),
                        .num_episodes = config_.actor().evaluation_episodes(),
                        .seed = SplitSeed(config_.seed(), "evaluation", static_cast<uint64_t>(steps()))}));
  const EvaluationRow row{.environment_steps = steps(),
                          .mean_return = result.mean_return(),
                          .stddev_return = result.stddev_return(),
                          .mean_length = result.mean_length(),
                          .episodes = static_cast<int>(result.returns.size()),
                          .policy_version = static_cast<uint64_t>(learner_->num_updates()),
                          .wall_s = folder_.earlier_wall_s() + WallSeconds()};
  RETURN_IF_ERROR(StorePolicy(policy));
  RETURN_IF_ERROR(folder_.AppendEvaluation(row));
  RETURN_IF_ERROR(log_.AddEvaluation(row));
  display_.Note(absl::StrFormat("evaluation at %s steps: mean return %.1f +- %.1f over %d episodes",
                                WithThousands(steps()), row.mean_return, row.stddev_return, row.episodes));
  return WriteSummary(steps() >= config_.environment_steps());
}

absl::Status Conductor::RecordProgress() {
  double mean_return = kUnknown;
  if (!recent_returns_.empty()) {
    mean_return = 0;
    for (const double episode_return : recent_returns_) {
      mean_return += episode_return / static_cast<double>(recent_returns_.size());
    }
  }
  ProgressRow row{
      .environment_steps = steps(),
      .updates = learner_->num_updates(),
      .episode_return = mean_return,
      .critic_loss = sac_metrics_.critic_loss,
      .policy_loss = sac_metrics_.policy_loss,
      .entropy_temperature = sac_metrics_.entropy_temperature,
      .real_ratio = RealRatio(config_, steps()),
      .training_loss = kUnknown,
      .holdout_error = kUnknown,
      .planned_rows = planned_rows_,
      .horizon_steps = static_cast<double>(horizon_steps_),
      .base_return = base_return_,
      .plan_return = plan_return_,
      .updates_per_second = static_cast<double>(learner_->num_updates()) / std::max(1e-9, WallSeconds()),
      .wall_s = folder_.earlier_wall_s() + WallSeconds()};
  if (training_.has_value()) {
    row.training_loss = training_->training_loss;
    row.holdout_error = *std::min_element(training_->holdout_errors.begin(), training_->holdout_errors.end());
    row.model_trainings = trainer_->num_trainings();
  }
  RETURN_IF_ERROR(folder_.AppendProgress(row));
  RETURN_IF_ERROR(log_.AddProgress(row));
  display_.Update(row, "");
  return absl::OkStatus();
}

absl::Status Conductor::WriteSummary(bool finished) {
  return folder_.WriteSummary({.environment_steps = steps(),
                               .updates = learner_->num_updates(),
                               .model_trainings = trainer_ == nullptr ? 0 : trainer_->num_trainings(),
                               .planned_rows = planned_rows_,
                               .wall_s = WallSeconds(),
                               .finished = finished});
}

absl::Status Conductor::SaveCheckpoint() {
  nlohmann::json figures;
  figures["config_hash"] = folder_.config_hash();
  figures["recent_returns"] = recent_returns_;
  figures["planned_rows"] = planned_rows_;
  figures["horizon_steps"] = horizon_steps_;
  figures["plan_returns"] = {base_return_, plan_return_};
  figures["sac"] = {sac_metrics_.critic_loss, sac_metrics_.policy_loss, sac_metrics_.entropy_temperature};
  if (training_.has_value()) {
    figures["training_loss"] = training_->training_loss;
    figures["holdout_errors"] = training_->holdout_errors;
  }
  CheckpointFiles files = {{"figures.json", figures.dump()},
                           {"actor.state", collector_->SaveState()},
                           {"replay.state", replay_->SaveState()},
                           {"sac_learner.state", learner_->SaveState()}};
  if (trainer_ != nullptr) {
    files["model_trainer.state"] = trainer_->SaveState();
    files["mpc_rollout.state"] = planner_->SaveState();
  }
  RETURN_IF_ERROR(checkpoints_.Write(steps(), files).status());
  return WriteSummary(/*finished=*/false);
}

absl::Status Conductor::LoadCheckpoint() {
  const absl::StatusOr<LoadedCheckpoint> loaded = checkpoints_.LoadNewest();
  if (absl::IsNotFound(loaded.status())) {
    return folder_.TruncateAfter(0);
  }
  RETURN_IF_ERROR(loaded.status());
  for (const std::string& reason : loaded->skipped) {
    display_.Note(reason);
  }
  const CheckpointFiles& files = loaded->files;
  RETURN_IF_ERROR(collector_->RestoreState(files.at("actor.state")));
  RETURN_IF_ERROR(replay_->RestoreState(files.at("replay.state")));
  RETURN_IF_ERROR(learner_->RestoreState(files.at("sac_learner.state")));
  RETURN_IF_ERROR(
      collector_->SetPolicy(learner_->PolicyTensors(), static_cast<uint64_t>(learner_->num_updates()) + 1));
  const nlohmann::json figures = nlohmann::json::parse(files.at("figures.json"));
  const auto number = [](const nlohmann::json& value) {
    return value.is_null() ? kUnknown : value.get<double>();
  };
  recent_returns_ = figures["recent_returns"].get<std::vector<double>>();
  planned_rows_ = figures["planned_rows"].get<int64_t>();
  horizon_steps_ = figures["horizon_steps"].get<int>();
  base_return_ = number(figures["plan_returns"][0]);
  plan_return_ = number(figures["plan_returns"][1]);
  sac_metrics_.critic_loss = number(figures["sac"][0]);
  sac_metrics_.policy_loss = number(figures["sac"][1]);
  sac_metrics_.entropy_temperature = number(figures["sac"][2]);
  if (trainer_ != nullptr) {
    RETURN_IF_ERROR(trainer_->RestoreState(files.at("model_trainer.state")));
    RETURN_IF_ERROR(planner_->RestoreState(files.at("mpc_rollout.state")));
    ASSIGN_OR_RETURN(const std::optional<RowsRead> rows,
                     replay_->ReadRows("env", 0, std::numeric_limits<int64_t>::max()));
    if (rows.has_value()) {
      RETURN_IF_ERROR(trainer_->AddRows(rows->chunk));
    }
    if (figures.contains("training_loss")) {
      training_.emplace();
      training_->training_loss = number(figures["training_loss"]);
      training_->holdout_errors = figures["holdout_errors"].get<std::vector<double>>();
      RETURN_IF_ERROR(planner_->SetDynamics(trainer_->DynamicsTensors(),
                                            static_cast<uint64_t>(trainer_->num_trainings())));
    }
  }
  display_.Note(absl::StrCat("resuming at ", WithThousands(steps()), " steps"));
  return folder_.TruncateAfter(steps());
}

absl::Status Conductor::Run(StopToken stop) {
  const auto due = [this](int64_t interval) { return interval > 0 && steps() % interval == 0; };
  const int64_t evaluation_interval = config_.actor().evaluation_interval_steps();
  while (steps() < config_.environment_steps()) {
    if (stop.stop_requested()) {
      RETURN_IF_ERROR(SaveCheckpoint());
      return absl::CancelledError("stopped on request");
    }
    if (model_due()) {
      RETURN_IF_ERROR(TrainModel());
      RETURN_IF_ERROR(PlanRounds());
    }
    RETURN_IF_ERROR(CollectStep());
    RETURN_IF_ERROR(UpdateLearner());
    if (due(kProgressIntervalSteps)) {
      RETURN_IF_ERROR(RecordProgress());
    }
    const bool last = steps() >= config_.environment_steps();
    if (last || (due(evaluation_interval) && learner_->num_updates() > 0)) {
      RETURN_IF_ERROR(EvaluatePolicy());
    }
    if (last || due(config_.checkpoint_interval_steps())) {
      RETURN_IF_ERROR(SaveCheckpoint());
    }
  }
  return WriteSummary(/*finished=*/true);
}

}  // namespace

absl::Status RunDeterministically(RunFolder& folder, StopToken stop) {
  ASSIGN_OR_RETURN(std::unique_ptr<Conductor> conductor, Conductor::Create(folder));
  return conductor->Run(stop);
}

}  // namespace demorl
