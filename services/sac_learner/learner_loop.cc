#include "services/sac_learner/learner_loop.h"

#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "services/sac_learner/core/batch_shares.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

// Until then a blocking call may wait before the thread looks at its flags again.
constexpr absl::Duration kSlice = absl::Milliseconds(200);
constexpr absl::Duration kRateWindow = absl::Seconds(2);
constexpr char kStateFile[] = "sac_learner.state";
constexpr char kRowsFile[] = "environment_rows";
constexpr char kDynamicsFile[] = "dynamics_version";

absl::Status RestoreNewest(const ServiceCheckpoints& checkpoints, PreparedLearner* prepared) {
  ASSIGN_OR_RETURN(const std::optional<LoadedCheckpoint> checkpoint, checkpoints.LoadNewest({kStateFile}));
  if (!checkpoint.has_value()) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(prepared->learner->RestoreState(checkpoint->files.at(kStateFile)));
  if (const auto rows = checkpoint->files.find(kRowsFile); rows != checkpoint->files.end()) {
    (void)absl::SimpleAtoi(rows->second, &prepared->environment_rows);
  }
  if (const auto version = checkpoint->files.find(kDynamicsFile); version != checkpoint->files.end()) {
    (void)absl::SimpleAtoi(version->second, &prepared->dynamics_version);
  }
  spdlog::info("restored update {} from a checkpoint", prepared->learner->num_updates());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PreparedLearner> PrepareLearner(const demorl::config::v1::RunConfig& config,
                                               const EnvironmentSpec& environment,
                                               const ServiceCheckpoints& checkpoints) {
  SacLearner::Options options;
  options.config = config.sac();
  options.observation_size = environment.observation_size;
  options.action_size = environment.action_size;
  options.seed = SplitSeed(config.seed(), "sac_learner");
  options.device = config.device();
  PreparedLearner prepared;
  prepared.environment = environment;
  ASSIGN_OR_RETURN(prepared.learner, SacLearner::Create(options));
  RETURN_IF_ERROR(RestoreNewest(checkpoints, &prepared));
  return prepared;
}

LearnerLoop::LearnerLoop(Parts parts)
    : WorkerLoop({.thread_name = "sac-learner", .worker = "learner", .task = "training"}),
      parts_(std::move(parts)) {}

LearnerLoop::~LearnerLoop() { Drain(absl::Now()).IgnoreError(); }

void LearnerLoop::AddToStatus(ComponentStatus* status) const {
  if (publisher_ == nullptr) {
    return;
  }
  status->figures["policy_version"] = static_cast<double>(publisher_->policy_version());
  const absl::Status published = publisher_->last_status();
  if (!published.ok()) {
    absl::StrAppend(&status->detail, "; publishing fails: ", std::string(published.message()));
  }
}

void LearnerLoop::CloseInput() {
  if (sampler_ != nullptr) {
    sampler_->Close();
  }
}

absl::Status LearnerLoop::Finish() {
  absl::Status status;
  if (trainee_.learner != nullptr) {
    Offer();
    status = WriteCheckpoint().status();
    AnswerCheckpointRequest();
  }
  std::shared_ptr<SnapshotPublisher> publisher;
  {
    absl::MutexLock lock(&mutex_);
    publisher = publisher_;
  }
  if (publisher != nullptr) {
    status.Update(publisher->Drain(DrainDeadline()));
  }
  return status;
}

absl::Status LearnerLoop::Prepare() {
  RETURN_IF_ERROR(RetryUntilThere("the environment's sizes", [this]() -> absl::Status {
    ASSIGN_OR_RETURN(trainee_, parts_.prepare());
    return absl::OkStatus();
  }));
  skipped_reported_ = trainee_.learner->num_skipped();
  std::shared_ptr<SnapshotPublisher> publisher = parts_.make_publisher(trainee_.environment);
  {
    absl::MutexLock lock(&mutex_);
    publisher_ = std::move(publisher);
    MarkReady();
  }
  Offer();  // actors and planner begin with it
  Describe(ComponentState::kRunning, "waits for the first batch");
  BatchSamplerOptions options;
  shares_ = BatchShares(parts_.config, trainee_.environment_rows);
  options.shares = shares_;
  sampler_ = parts_.open_sampler(options);
  return absl::OkStatus();
}

absl::Status LearnerLoop::Work() {
  window_start_ = RealClock::Get().Now();
  while (WaitForWork()) {
    absl::StatusOr<SampledBatch> sampled = NextBatch();
    if (absl::IsDeadlineExceeded(sampled.status())) {
      continue;
    }
    RETURN_IF_ERROR(sampled.status());
    RETURN_IF_ERROR(UpdateOnce(*sampled));
  }
  return absl::CancelledError("stopped");
}

// DEADLINE_EXCEEDED when it is time to look at the flags again.
absl::StatusOr<SampledBatch> LearnerLoop::NextBatch() {
  const absl::Duration start = RealClock::Get().Now();
  absl::StatusOr<SampledBatch> sampled = sampler_->Next(absl::Now() + kSlice);
  parts_.metrics->waiting_s.Increment(absl::ToDoubleSeconds(RealClock::Get().Now() - start));
  if (sampled.ok() || absl::IsFailedPrecondition(sampled.status()) || absl::IsCancelled(sampled.status()) ||
      absl::IsInvalidArgument(sampled.status())) {
    return sampled;
  }
  Describe(ComponentState::kRunning,
           absl::StrCat("waits for batches from replay (", std::string(sampled.status().message()), ")"));
  if (!absl::IsDeadlineExceeded(sampled.status())) {
    WaitForRetry();
  }
  return absl::DeadlineExceededError("no batch yet");
}

absl::Status LearnerLoop::UpdateOnce(const SampledBatch& sampled) {
  SacLearner& learner = *trainee_.learner;
  const absl::Duration start = RealClock::Get().Now();
  const absl::StatusOr<SacMetrics> metrics = learner.Update(sampled.batch);
  const absl::Duration duration = RealClock::Get().Now() - start;
  trainee_.environment_rows = sampled.rows_inserted;
  trainee_.dynamics_version = std::max(trainee_.dynamics_version, sampled.dynamics_version);
  parts_.metrics->skipped.Increment(static_cast<double>(learner.num_skipped() - skipped_reported_));
  skipped_reported_ = learner.num_skipped();
  AdaptShares(sampled.rows_inserted);
  if (absl::IsDataLoss(metrics.status())) {
    spdlog::warn("skipped an update: {}", std::string(metrics.status().message()));
    return absl::OkStatus();
  }
  if (absl::IsFailedPrecondition(
          metrics.status())) {  // too many in a row; a good batch makes it healthy again
    Describe(ComponentState::kUnhealthy, std::string(metrics.status().message()));
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(metrics.status());
  Report(*metrics, duration);
  parts_.metrics->batch_age_s.Observe(absl::ToDoubleSeconds(sampled.mean_age));
  KeepTrace(sampled, duration);
  if (learner.num_updates() % parts_.config.sac().publish_interval_updates() == 0) {
    Offer();
  }
  if (learner.num_updates() % parts_.config.sac().checkpoint_interval_updates() == 0) {
    WriteCheckpoint().status().IgnoreError();  // counted and logged; training goes on
  }
  return absl::OkStatus();
}

void LearnerLoop::KeepTrace(const SampledBatch& sampled, absl::Duration duration) {
  if (sampled.traces.empty()) {
    return;
  }
  const absl::Time now = absl::Now();
  KeepTraces(AddChildSpans(parts_.trace_log, sampled.traces,
                           {.name = "update",
                            .start = now - duration,
                            .end = now,
                            .attributes = {{"update", trainee_.learner->num_updates()},
                                           {"rows", int64_t{sampled.batch.num_rows}}}}),
             &traces_);
}

void LearnerLoop::Offer() {
  std::shared_ptr<SnapshotPublisher> publisher;
  {
    absl::MutexLock lock(&mutex_);
    publisher = publisher_;
  }
  publisher->Offer({.policy = trainee_.learner->PolicyTensors(),
                    .value = trainee_.learner->ValueTensors(),
                    .learner_step = trainee_.learner->num_updates(),
                    .environment_rows = trainee_.environment_rows,
                    .dynamics_version = trainee_.dynamics_version,
                    .traces = std::exchange(traces_, {})});
}

absl::StatusOr<std::string> LearnerLoop::WriteCheckpoint() {
  return parts_.checkpoints->Write(trainee_.learner->num_updates(),
                                   {{kStateFile, trainee_.learner->SaveState()},
                                    {kRowsFile, absl::StrCat(trainee_.environment_rows)},
                                    {kDynamicsFile, absl::StrCat(trainee_.dynamics_version)}});
}

void LearnerLoop::AdaptShares(int64_t environment_rows) {
  std::vector<TableShare> shares = BatchShares(parts_.config, environment_rows);
  if (shares.size() != shares_.size() || shares[0].rows != shares_[0].rows) {
    sampler_->SetShares(shares);
    shares_ = std::move(shares);
  }
}

void LearnerLoop::Report(const SacMetrics& metrics, absl::Duration duration) {
  SacLearnerMetrics& instruments = *parts_.metrics;
  instruments.updates.Increment();
  instruments.update_s.Observe(absl::ToDoubleSeconds(duration));
  instruments.critic_loss.Set(metrics.critic_loss);
  instruments.policy_loss.Set(metrics.policy_loss);
  instruments.entropy_temperature.Set(metrics.entropy_temperature);
  instruments.entropy.Set(metrics.entropy);
  instruments.mean_q.Set(metrics.mean_q);
  const double real_ratio = RealRatio(parts_.config, trainee_.environment_rows);
  instruments.real_ratio.Set(real_ratio);
  ++window_updates_;
  const absl::Duration window = RealClock::Get().Now() - window_start_;
  if (window >= kRateWindow) {
    updates_per_second_ = static_cast<double>(window_updates_) / absl::ToDoubleSeconds(window);
    window_updates_ = 0;
    window_start_ += window;
  }
  absl::MutexLock lock(&mutex_);
  status_.state = ComponentState::kRunning;
  status_.detail = "training";
  status_.figures = {{"updates", static_cast<double>(trainee_.learner->num_updates())},
                     {"updates_per_second", updates_per_second_},
                     {"critic_loss", metrics.critic_loss},
                     {"policy_loss", metrics.policy_loss},
                     {"mean_q", metrics.mean_q},
                     {"entropy_temperature", metrics.entropy_temperature},
                     {"entropy", metrics.entropy},
                     {"real_ratio", real_ratio},
                     {"environment_rows", static_cast<double>(trainee_.environment_rows)},
                     {"skipped", static_cast<double>(trainee_.learner->num_skipped())}};
}

}  // namespace demorl
