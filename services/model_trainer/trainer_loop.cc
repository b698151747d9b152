#include "services/model_trainer/trainer_loop.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/tensor/trace_codec.h"
#include "services/model_trainer/training_schedule.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

// Until then a blocking call may wait before the thread looks at its flags again.
constexpr absl::Duration kSlice = absl::Milliseconds(200);
constexpr absl::Duration kRetryDelay = absl::Seconds(1);
constexpr absl::Duration kPublishTimeout = absl::Seconds(2);
constexpr absl::Duration kCatchUpTimeout = absl::Seconds(10);
constexpr char kStateFile[] = "model_trainer.state";
constexpr char kProgressFile[] = "progress";

std::string EncodeProgress(const TrainingProgress& progress) {
  return absl::StrCat(progress.last_trained_rows, " ", progress.published_trainings, " ",
                      progress.dynamics_version);
}

absl::StatusOr<TrainingProgress> DecodeProgress(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ' ');
  TrainingProgress progress;
  if (parts.size() == 3 && absl::SimpleAtoi(parts[0], &progress.last_trained_rows) &&
      absl::SimpleAtoi(parts[1], &progress.published_trainings) &&
      absl::SimpleAtoi(parts[2], &progress.dynamics_version)) {
    return progress;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("file ", kProgressFile, " of a checkpoint is \"", text, "\"; needed: three numbers"));
}

absl::Status RestoreNewest(const ServiceCheckpoints& checkpoints, PreparedTrainer* prepared) {
  ASSIGN_OR_RETURN(const std::optional<LoadedCheckpoint> checkpoint,
                   checkpoints.LoadNewest({kStateFile, kProgressFile}));
  if (!checkpoint.has_value()) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(prepared->progress, DecodeProgress(checkpoint->files.at(kProgressFile)));
  RETURN_IF_ERROR(prepared->trainer->RestoreState(checkpoint->files.at(kStateFile)));
  spdlog::info("restored training {} from a checkpoint", prepared->trainer->num_trainings());
  return absl::OkStatus();
}

double EliteError(const TrainingReport& report) {
  double sum = 0;
  for (const int member : report.elite_members) {
    sum += report.holdout_errors[member];
  }
  return sum / static_cast<double>(report.elite_members.size());
}

bool MayComeLater(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsNotFound(status) || absl::IsDeadlineExceeded(status);
}

}  // namespace

absl::StatusOr<PreparedTrainer> PrepareTrainer(const demorl::config::v1::RunConfig& config,
                                               const EnvironmentSpec& environment, bool learn_termination,
                                               std::function<bool()> should_stop,
                                               const ServiceCheckpoints& checkpoints) {
  ModelTrainer::Options options;
  options.config = config.model();
  options.observation_size = environment.observation_size;
  options.action_size = environment.action_size;
  options.learn_termination = learn_termination;
  options.seed = SplitSeed(config.seed(), "model_trainer");
  options.device = config.device();
  options.should_stop = std::move(should_stop);
  PreparedTrainer prepared;
  prepared.environment = environment;
  ASSIGN_OR_RETURN(prepared.trainer, ModelTrainer::Create(options));
  RETURN_IF_ERROR(RestoreNewest(checkpoints, &prepared));
  return prepared;
}

TrainerLoop::TrainerLoop(Parts parts)
    : WorkerLoop({.thread_name = "model-trainer", .worker = "trainer", .task = "model training"}),
      parts_(std::move(parts)) {}

TrainerLoop::~TrainerLoop() { Drain(absl::Now()).IgnoreError(); }

void TrainerLoop::AddToStatus(ComponentStatus* status) const {
  if (!publish_failure_.empty()) {
    absl::StrAppend(&status->detail, "; publishing fails: ", publish_failure_);
  }
}

void TrainerLoop::CloseInput() {
  if (tail_ != nullptr) {
    tail_->Close();
  }
}

absl::Status TrainerLoop::Finish() {
  if (trainee_.trainer == nullptr) {
    return absl::OkStatus();
  }
  absl::Status status;
  next_publish_ = absl::InfinitePast();
  if (!PublishIfNeeded(DrainDeadline())) {
    status = absl::DeadlineExceededError("the newest dynamics could not be published");
  }
  status.Update(WriteCheckpoint().status());
  AnswerCheckpointRequest();
  return status;
}

absl::Status TrainerLoop::Prepare() {
  RETURN_IF_ERROR(RetryUntilThere("the environment's sizes", [this]() -> absl::Status {
    ASSIGN_OR_RETURN(trainee_, parts_.prepare([this] { return StopRequested(); }));
    return absl::OkStatus();
  }));
  last_attempt_rows_ = trainee_.progress.last_trained_rows;
  // Rows that would only be pushed out again are not read.
  const absl::StatusOr<int64_t> inserted = parts_.rows_inserted();
  const int64_t held = parts_.config.model().max_rows();
  tail_ = parts_.open_tail(static_cast<uint64_t>(std::max<int64_t>(0, inserted.value_or(0) - held)));
  {
    absl::MutexLock lock(&mutex_);
    MarkReady();
    status_.figures["trainings"] = static_cast<double>(trainee_.trainer->num_trainings());
    status_.figures["dynamics_version"] = static_cast<double>(trainee_.progress.dynamics_version);
  }
  DescribeWaiting();
  return absl::OkStatus();
}

absl::Status TrainerLoop::Work() {
  while (WaitForWork()) {
    PublishIfNeeded(absl::Now() + kPublishTimeout);
    ASSIGN_OR_RETURN(const bool came, TakeRows(absl::Now() + kSlice));
    if (came && TrainingIsDue(parts_.config, environment_rows_, last_attempt_rows_)) {
      RETURN_IF_ERROR(CatchUp());
      RETURN_IF_ERROR(TrainOnce());
    }
  }
  return absl::CancelledError("stopped");
}

absl::StatusOr<bool> TrainerLoop::TakeRows(absl::Time deadline) {
  const absl::StatusOr<TailedRows> rows = tail_->Next(deadline);
  if (absl::IsDeadlineExceeded(rows.status())) {
    return false;
  }
  if (!rows.ok()) {
    if (!MayComeLater(rows.status())) {
      return rows.status();
    }
    Describe(ComponentState::kRunning,
             absl::StrCat("waits for replay: ", std::string(rows.status().message())));
    WaitForRetry();
    return false;
  }
  environment_rows_ = static_cast<int64_t>(rows->next_position);
  KeepTraces(rows->traces, &row_traces_);
  const absl::Status added = trainee_.trainer->AddRows(rows->chunk);
  if (!added.ok()) {
    parts_.metrics->refused_chunks.Increment();
    spdlog::warn("refused rows from {} on: {}", rows->position, added.ToString());
  }
  parts_.metrics->rows.Set(static_cast<double>(trainee_.trainer->num_rows()));
  DescribeWaiting();
  return true;
}

absl::Status TrainerLoop::CatchUp() {
  const absl::StatusOr<int64_t> target = parts_.rows_inserted();
  const absl::Time deadline = absl::Now() + kCatchUpTimeout;
  while (target.ok() && environment_rows_ < *target && absl::Now() < deadline && !StopRequested()) {
    RETURN_IF_ERROR(TakeRows(absl::Now() + kSlice).status());
  }
  return absl::OkStatus();
}

absl::Status TrainerLoop::TrainOnce() {
  if (trainee_.trainer->num_rows() < 2) {
    return absl::OkStatus();
  }
  last_attempt_rows_ = environment_rows_;
  Describe(ComponentState::kRunning, absl::StrCat("trains on ", trainee_.trainer->num_rows(), " rows"));
  const absl::Duration start = RealClock::Get().Now();
  const absl::StatusOr<TrainingReport> report = trainee_.trainer->Train();
  if (absl::IsCancelled(report.status())) {
    return report.status();
  }
  if (absl::IsDataLoss(report.status()) || absl::IsFailedPrecondition(report.status())) {
    parts_.metrics->non_finite.Increment();
    spdlog::warn("undid a training: {}", report.status().ToString());
    if (absl::IsFailedPrecondition(report.status())) {  // the next good training makes it healthy again
      Describe(ComponentState::kUnhealthy, std::string(report.status().message()));
    }
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(report.status());
  return AfterTraining(*report, RealClock::Get().Now() - start);
}

absl::Status TrainerLoop::AfterTraining(const TrainingReport& report, absl::Duration duration) {
  ModelTrainerMetrics& metrics = *parts_.metrics;
  const double seconds = absl::ToDoubleSeconds(duration), error = EliteError(report);
  metrics.trainings.Increment();
  metrics.gradient_steps.Increment(static_cast<double>(report.gradient_steps));
  metrics.training_s.Observe(seconds);
  metrics.training_loss.Set(report.training_loss);
  metrics.holdout_error.Set(error);
  trainee_.progress.last_trained_rows = environment_rows_;
  {
    absl::MutexLock lock(&mutex_);
    status_.state = ComponentState::kRunning;
    status_.figures["trainings"] = static_cast<double>(trainee_.trainer->num_trainings());
    status_.figures["training_loss"] = report.training_loss;
    status_.figures["holdout_error"] = error;
    status_.figures["model_train_seconds"] = seconds;
    status_.figures["passes"] = report.passes;
  }
  spdlog::info("training {}: rows {}, passes {}, {:.2f} s, training loss {:.4g}, holdout error {:.4g}",
               trainee_.trainer->num_trainings(), report.rows, report.passes, seconds, report.training_loss,
               error);
  DescribeWaiting();
  TraceTraining(report, duration);
  next_publish_ = absl::InfinitePast();
  PublishIfNeeded(absl::Now() + kPublishTimeout);
  WriteCheckpoint().status().IgnoreError();  // counted and logged; training goes on
  return absl::OkStatus();
}

void TrainerLoop::TraceTraining(const TrainingReport& report, absl::Duration duration) {
  const absl::Time now = absl::Now();
  KeepTraces(AddChildSpans(parts_.trace_log, std::exchange(row_traces_, {}),
                           {.name = "train",
                            .start = now - duration,
                            .end = now,
                            .attributes = {{"training", trainee_.trainer->num_trainings()},
                                           {"rows", static_cast<int64_t>(report.rows)}}}),
             &training_traces_);
}

absl::StatusOr<uint64_t> TrainerLoop::Publish(absl::Time deadline) {
  const absl::Time start = absl::Now();
  const std::vector<TraceContext> spans = NewChildren(parts_.trace_log, training_traces_);
  const TrainingProgress& progress = trainee_.progress;
  demorl::snapshot::v1::SnapshotMetadata metadata = parts_.make_metadata(trainee_.environment);
  metadata.mutable_lineage()->set_learner_step(static_cast<uint64_t>(trainee_.trainer->num_trainings()));
  metadata.mutable_lineage()->set_environment_rows(static_cast<uint64_t>(progress.last_trained_rows));
  metadata.mutable_lineage()->set_parent_version(progress.dynamics_version);
  EncodeTraceContexts(spans, metadata.mutable_traces());
  ASSIGN_OR_RETURN(
      const uint64_t version,
      parts_.publish(std::move(metadata), EncodeSafetensors(trainee_.trainer->DynamicsTensors()), deadline));
  AddSpans(parts_.trace_log, spans, std::exchange(training_traces_, {}),
           {.name = "publish",
            .start = start,
            .end = absl::Now(),
            .attributes = {{"kind", std::string("dynamics")}, {"version", static_cast<int64_t>(version)}}});
  return version;
}

bool TrainerLoop::PublishIfNeeded(absl::Time deadline) {
  const int64_t trainings = trainee_.trainer->num_trainings();
  TrainingProgress& progress = trainee_.progress;
  if (progress.published_trainings >= trainings) {
    return true;
  }
  if (absl::Now() < next_publish_) {
    return false;
  }
  const absl::StatusOr<uint64_t> version = Publish(deadline);
  absl::MutexLock lock(&mutex_);
  if (!version.ok()) {
    parts_.metrics->publish_failures.Increment();
    if (publish_failure_.empty()) {
      spdlog::warn("publishing the dynamics fails: {}", version.status().ToString());
    }
    publish_failure_ = std::string(version.status().message());
    next_publish_ = absl::Now() + kRetryDelay;
    return false;
  }
  publish_failure_.clear();
  progress.published_trainings = trainings;
  progress.dynamics_version = *version;
  parts_.metrics->publishes.Increment();
  parts_.metrics->dynamics_version.Set(static_cast<double>(*version));
  status_.figures["dynamics_version"] = static_cast<double>(*version);
  return true;
}

absl::StatusOr<std::string> TrainerLoop::WriteCheckpoint() {
  return parts_.checkpoints->Write(
      trainee_.trainer->num_trainings(),
      {{kStateFile, trainee_.trainer->SaveState()}, {kProgressFile, EncodeProgress(trainee_.progress)}});
}

void TrainerLoop::DescribeWaiting() {
  const int64_t first = std::max<int64_t>(parts_.config.sac().learning_starts(), 2);
  {
    absl::MutexLock lock(&mutex_);
    status_.figures["rows"] = static_cast<double>(trainee_.trainer->num_rows());
    status_.figures["environment_rows"] = static_cast<double>(environment_rows_);
  }
  Describe(ComponentState::kRunning, last_attempt_rows_ == 0
                                         ? absl::StrCat("waits for rows: ", environment_rows_, " of ", first)
                                         : absl::StrCat("trained at row ", last_attempt_rows_,
                                                        ", waits for rows: ", environment_rows_));
}

}  // namespace demorl
