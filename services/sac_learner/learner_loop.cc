#include "services/sac_learner/learner_loop.h"

#include <pthread.h>

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

std::vector<TableShare> TableShares(const demorl::config::v1::RunConfig& config, int64_t environment_rows) {
  std::vector<TableShare> shares;
  for (const BatchShareOfTable& share : BatchShares(config, environment_rows)) {
    shares.push_back({.table = share.table, .rows = share.rows});
  }
  return shares;
}

// Until then a blocking call may wait before the thread looks at its flags again.
constexpr absl::Duration kSlice = absl::Milliseconds(200);
constexpr absl::Duration kRetryDelay = absl::Seconds(1);
constexpr absl::Duration kRateWindow = absl::Seconds(2);
constexpr char kStateFile[] = "sac_learner.state";
constexpr char kRowsFile[] = "environment_rows";

absl::Status RestoreNewest(const CheckpointStore& store, PreparedLearner* prepared,
                           SacLearnerMetrics* metrics) {
  const absl::StatusOr<LoadedCheckpoint> checkpoint = store.LoadNewest();
  if (absl::IsNotFound(checkpoint.status())) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(checkpoint.status());
  for (const std::string& reason : checkpoint->skipped) {
    metrics->damaged_checkpoints.Increment();
    spdlog::warn("passed over a checkpoint: {}", reason);
  }
  const auto state = checkpoint->files.find(kStateFile);
  if (state == checkpoint->files.end()) {
    return absl::InvalidArgumentError(absl::StrCat("checkpoint ", checkpoint->step, " has no file ",
                                                   kStateFile, "; it is not a SAC learner's"));
  }
  RETURN_IF_ERROR(prepared->learner->RestoreState(state->second));
  if (const auto rows = checkpoint->files.find(kRowsFile); rows != checkpoint->files.end()) {
    (void)absl::SimpleAtoi(rows->second, &prepared->environment_rows);
  }
  spdlog::info("restored update {} from a checkpoint", prepared->learner->num_updates());
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PreparedLearner> PrepareLearner(const demorl::config::v1::RunConfig& config,
                                               const EnvironmentSpec& environment,
                                               const CheckpointStore* checkpoints,
                                               SacLearnerMetrics* metrics) {
  SacLearner::Options options;
  options.config = config.sac();
  options.observation_size = environment.observation_size;
  options.action_size = environment.action_size;
  options.seed = SplitSeed(config.seed(), "sac_learner");
  options.device = config.device();
  PreparedLearner prepared;
  prepared.environment = environment;
  ASSIGN_OR_RETURN(prepared.learner, SacLearner::Create(options));
  if (checkpoints != nullptr) {
    RETURN_IF_ERROR(RestoreNewest(*checkpoints, &prepared, metrics));
  }
  return prepared;
}

LearnerLoop::LearnerLoop(Parts parts) : parts_(std::move(parts)) { status_.detail = "not started"; }

LearnerLoop::~LearnerLoop() { Drain(absl::Now()).IgnoreError(); }

void LearnerLoop::Start() {
  {
    absl::MutexLock lock(&mutex_);
    if (started_ || stop_) {
      return;
    }
    started_ = true;
  }
  absl::MutexLock lock(&join_mutex_);
  thread_ = std::thread([this] { Run(); });
}

void LearnerLoop::Pause() {
  absl::MutexLock lock(&mutex_);
  paused_ = true;
}

void LearnerLoop::Resume() {
  absl::MutexLock lock(&mutex_);
  paused_ = false;
}

absl::StatusOr<std::string> LearnerLoop::Checkpoint() {
  absl::MutexLock lock(&mutex_);
  if (!ready_ || ended_) {
    return absl::FailedPreconditionError(absl::StrCat(
        "no checkpoint now: the learner ", ended_ ? "has ended" : "is not ready", " (", status_.detail, ")"));
  }
  const int64_t ticket = ++checkpoints_asked_;
  const auto answered = [this, ticket]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return checkpoints_answered_ >= ticket || ended_;
  };
  mutex_.Await(absl::Condition(&answered));
  if (checkpoints_answered_ < ticket) {
    return absl::UnavailableError("the learner ended before it could write a checkpoint");
  }
  return checkpoint_answer_;
}

absl::Status LearnerLoop::Drain(absl::Time deadline) {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
    drain_deadline_ = std::min(drain_deadline_, deadline);
  }
  absl::MutexLock lock(&join_mutex_);
  if (thread_.joinable()) {
    thread_.join();
  }
  absl::MutexLock state_lock(&mutex_);
  return end_status_;
}

ComponentStatus LearnerLoop::Status() const {
  absl::MutexLock lock(&mutex_);
  ComponentStatus status = status_;
  if (publisher_ != nullptr) {
    status.figures["policy_version"] = static_cast<double>(publisher_->policy_version());
    const absl::Status published = publisher_->last_status();
    if (!published.ok()) {
      absl::StrAppend(&status.detail, "; publishing fails: ", std::string(published.message()));
    }
  }
  if (stop_) {
    status.state = ComponentState::kDraining;
  } else if (paused_ && status.state == ComponentState::kRunning) {
    status.state = ComponentState::kPaused;
  }
  return status;
}

void LearnerLoop::Run() {
  pthread_setname_np(pthread_self(), "sac-learner");
  absl::Status status = Prepare();
  if (status.ok()) {
    status = Train();
  }
  if (sampler_ != nullptr) {
    sampler_->Close();
  }
  if (!status.ok() && !absl::IsCancelled(status)) {
    spdlog::error("training stopped: {}", status.ToString());
    Describe(ComponentState::kUnhealthy, std::string(status.message()));
    absl::MutexLock lock(&mutex_);
    const auto serve = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stop_; };
    ended_ = true;
    mutex_.Await(absl::Condition(&serve));
  }
  absl::Status end_status;
  if (trainee_.learner != nullptr) {
    Offer();
    end_status = WriteCheckpoint().status();
    AnswerCheckpointRequest();
  }
  std::shared_ptr<SnapshotPublisher> publisher;
  absl::Time deadline;
  {
    absl::MutexLock lock(&mutex_);
    publisher = publisher_;
    deadline = drain_deadline_;
  }
  if (publisher != nullptr) {
    end_status.Update(publisher->Drain(deadline));
  }
  absl::MutexLock lock(&mutex_);
  ended_ = true;
  end_status_ = end_status;
}

// CANCELLED when asked to stop.
absl::Status LearnerLoop::Prepare() {
  while (true) {
    absl::StatusOr<PreparedLearner> prepared = parts_.prepare();
    if (prepared.ok()) {
      trainee_ = *std::move(prepared);
      skipped_reported_ = trainee_.learner->num_skipped();
      break;
    }
    if (!absl::IsUnavailable(prepared.status()) && !absl::IsNotFound(prepared.status()) &&
        !absl::IsDeadlineExceeded(prepared.status())) {
      return prepared.status();
    }
    Describe(ComponentState::kStarting,
             absl::StrCat("waits for the environment's sizes: ", std::string(prepared.status().message())));
    absl::MutexLock lock(&mutex_);
    if (mutex_.AwaitWithTimeout(absl::Condition(&stop_), kRetryDelay)) {
      return absl::CancelledError("stopped");
    }
  }
  std::shared_ptr<SnapshotPublisher> publisher = parts_.make_publisher(trainee_.environment);
  {
    absl::MutexLock lock(&mutex_);
    publisher_ = std::move(publisher);
    ready_ = true;
  }
  Offer();  // actors and planner begin with it
  Describe(ComponentState::kRunning, "waits for the first batch");
  BatchSamplerOptions options;
  shares_ = TableShares(parts_.config, trainee_.environment_rows);
  options.shares = shares_;
  sampler_ = parts_.open_sampler(options);
  return absl::OkStatus();
}

absl::Status LearnerLoop::Train() {
  window_start_ = RealClock::Get().Now();
  while (WaitUntilTraining()) {
    absl::StatusOr<SampledBatch> sampled = NextBatch();
    if (absl::IsDeadlineExceeded(sampled.status())) {
      continue;
    }
    RETURN_IF_ERROR(sampled.status());
    RETURN_IF_ERROR(UpdateOnce(*sampled));
  }
  return absl::CancelledError("stopped");
}

bool LearnerLoop::StopRequested() const {
  absl::MutexLock lock(&mutex_);
  return stop_;
}

bool LearnerLoop::WaitUntilTraining() {
  const auto changed = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return stop_ || !paused_ || checkpoints_asked_ > checkpoints_answered_;
  };
  while (true) {
    bool stop, paused, asked;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&changed));
      stop = stop_;
      paused = paused_;
      asked = checkpoints_asked_ > checkpoints_answered_;
    }
    if (asked) {
      AnswerCheckpointRequest();
    }
    if (stop || !paused) {
      return !stop;
    }
  }
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
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(&stop_), kRetryDelay);
  }
  return absl::DeadlineExceededError("no batch yet");
}

absl::Status LearnerLoop::UpdateOnce(const SampledBatch& sampled) {
  SacLearner& learner = *trainee_.learner;
  const absl::Duration start = RealClock::Get().Now();
  const absl::StatusOr<SacMetrics> metrics = learner.Update(sampled.batch);
  const absl::Duration duration = RealClock::Get().Now() - start;
  trainee_.environment_rows = sampled.rows_inserted;
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
  if (learner.num_updates() % parts_.config.sac().publish_interval_updates() == 0) {
    Offer();
  }
  if (learner.num_updates() % parts_.config.sac().checkpoint_interval_updates() == 0) {
    WriteCheckpoint().status().IgnoreError();  // counted and logged; training goes on
  }
  return absl::OkStatus();
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
                    .environment_rows = trainee_.environment_rows});
}

void LearnerLoop::AnswerCheckpointRequest() {
  int64_t asked;
  {
    absl::MutexLock lock(&mutex_);
    asked = checkpoints_asked_;
    if (asked == checkpoints_answered_) {
      return;
    }
  }
  absl::StatusOr<std::string> answer = WriteCheckpoint();
  absl::MutexLock lock(&mutex_);
  checkpoint_answer_ = std::move(answer);
  checkpoints_answered_ = asked;
}

absl::StatusOr<std::string> LearnerLoop::WriteCheckpoint() {
  if (parts_.checkpoints == nullptr) {
    return std::string();
  }
  const absl::StatusOr<std::filesystem::path> folder = parts_.checkpoints->Write(
      trainee_.learner->num_updates(),
      {{kStateFile, trainee_.learner->SaveState()}, {kRowsFile, absl::StrCat(trainee_.environment_rows)}});
  if (!folder.ok()) {
    parts_.metrics->checkpoint_failures.Increment();
    spdlog::error("checkpoint failed: {}", folder.status().ToString());
    return folder.status();
  }
  parts_.metrics->checkpoints.Increment();
  return folder->string();
}

void LearnerLoop::AdaptShares(int64_t environment_rows) {
  std::vector<TableShare> shares = TableShares(parts_.config, environment_rows);
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
    instruments.updates_per_second.Set(static_cast<double>(window_updates_) / absl::ToDoubleSeconds(window));
    window_updates_ = 0;
    window_start_ += window;
  }
  absl::MutexLock lock(&mutex_);
  status_.state = ComponentState::kRunning;
  status_.detail = "training";
  status_.figures = {{"updates", static_cast<double>(trainee_.learner->num_updates())},
                     {"updates_per_second", instruments.updates_per_second.Value()},
                     {"critic_loss", metrics.critic_loss},
                     {"policy_loss", metrics.policy_loss},
                     {"mean_q", metrics.mean_q},
                     {"entropy_temperature", metrics.entropy_temperature},
                     {"entropy", metrics.entropy},
                     {"real_ratio", real_ratio},
                     {"environment_rows", static_cast<double>(trainee_.environment_rows)},
                     {"skipped", static_cast<double>(trainee_.learner->num_skipped())}};
}

void LearnerLoop::Describe(ComponentState state, std::string detail) {
  absl::MutexLock lock(&mutex_);
  // Waiting between two batches says nothing new about health.
  if (state == ComponentState::kRunning && status_.state == ComponentState::kUnhealthy) {
    return;
  }
  status_.state = state;
  status_.detail = std::move(detail);
}

}  // namespace demorl
