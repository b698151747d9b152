#include "services/actor/collection_loop.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/tensor/trace_codec.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

constexpr absl::Duration kRateWindow = absl::Seconds(5);
constexpr size_t kNumReturns = 10;

double Mean(const std::deque<double>& values) {
  double sum = 0;
  for (const double value : values) {
    sum += value;
  }
  return values.empty() ? 0 : sum / values.size();
}

}  // namespace

CollectionLoop::CollectionLoop(const CollectionOptions& options, Parts parts)
    : options_(options),
      parts_(std::move(parts)),
      sender_(
          {.writer = parts_.writer.get(),
           .spool = parts_.spool.get(),
           .delivery = parts_.delivery.get(),
           .metrics = parts_.metrics,
           .describe = [this](std::string detail) { Describe(ComponentState::kRunning, std::move(detail)); },
           .drain_deadline = [this] { return DrainDeadline(); }}) {
  status_.detail = "not started";
}

CollectionLoop::~CollectionLoop() { Drain(absl::Now()).IgnoreError(); }

void CollectionLoop::Start() {
  {
    absl::MutexLock lock(&mutex_);
    if (started_ || stop_) {
      return;
    }
    started_ = true;
    status_.state = ComponentState::kRunning;
    status_.detail = "connecting to replay";
    window_start_ = RealClock::Get().Now();
  }
  absl::MutexLock lock(&join_mutex_);
  thread_ = std::thread([this] { Run(); });
}

void CollectionLoop::Pause() {
  absl::MutexLock lock(&mutex_);
  paused_ = true;
}

void CollectionLoop::Resume() {
  absl::MutexLock lock(&mutex_);
  paused_ = false;
}

absl::Status CollectionLoop::Drain(absl::Time deadline) {
  bool in_time = true;
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
    drain_deadline_ = std::min(drain_deadline_, deadline);
    if (started_) {
      in_time = mutex_.AwaitWithDeadline(absl::Condition(&ended_), deadline);
    }
  }
  if (!in_time) {
    parts_.writer->Close();
  }
  absl::MutexLock join_lock(&join_mutex_);
  if (thread_.joinable()) {
    thread_.join();
  }
  parts_.writer->Close();
  parts_.policies->Close();
  absl::MutexLock lock(&mutex_);
  return end_status_;
}

ComponentStatus CollectionLoop::Status() const {
  absl::MutexLock lock(&mutex_);
  ComponentStatus status = status_;
  const double elapsed_s = absl::ToDoubleSeconds(RealClock::Get().Now() - window_start_);
  if (elapsed_s > absl::ToDoubleSeconds(kRateWindow) || status.figures.count("steps_per_second") == 0) {
    status.figures["steps_per_second"] =
        started_ && elapsed_s > 0 ? (status.figures["steps"] - window_steps_) / elapsed_s : 0;
  }
  if (stop_ && status.state != ComponentState::kUnhealthy) {
    status.state = ComponentState::kDraining;
  } else if (paused_ && status.state == ComponentState::kRunning) {
    status.state = ComponentState::kPaused;
  }
  return status;
}

std::shared_ptr<const CollectionLoop::Policy> CollectionLoop::CurrentPolicy() const {
  absl::MutexLock lock(&mutex_);
  return policy_;
}

std::optional<absl::Time> CollectionLoop::DrainDeadline() const {
  absl::MutexLock lock(&mutex_);
  return stop_ ? std::optional(drain_deadline_) : std::nullopt;
}

bool CollectionLoop::StopRequested() const {
  absl::MutexLock lock(&mutex_);
  return stop_;
}

void CollectionLoop::Describe(ComponentState state, std::string detail) {
  absl::MutexLock lock(&mutex_);
  status_.state = state;
  status_.detail = std::move(detail);
}

void CollectionLoop::Run() {
  pthread_setname_np(pthread_self(), "actor-collect");
  absl::Status status = sender_.Recover();
  while (status.ok() && !StopRequested()) {
    status = Iterate();
  }
  if (!status.ok()) {
    spdlog::error("collection stopped: {}", std::string(status.message()));
    Describe(ComponentState::kUnhealthy, std::string(status.message()));
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&stop_));
  } else {
    status = SendRest();
  }
  absl::MutexLock lock(&mutex_);
  end_status_ = status;
  ended_ = true;
}

absl::Status CollectionLoop::SendRest() {
  const absl::Time deadline = DrainDeadline().value_or(absl::InfiniteFuture());
  parts_.collector->TruncateEpisodes();
  absl::Status status = sender_.Send(TakeChunk(/*flush=*/true), deadline);
  if (status.ok()) {
    status = parts_.writer->Flush(deadline);
  }
  sender_.Trim();
  Report();
  const std::string detail = absl::StrCat("rows were left behind: ", status.message());
  if (IsRetryable(status) || absl::IsCancelled(status)) {
    return absl::DeadlineExceededError(detail);
  }
  return status.ok() ? status : absl::Status(status.code(), detail);
}

int64_t CollectionLoop::TableRows() const {
  return std::max(parts_.writer->RowsInserted(), rows_base_ + parts_.collector->num_steps());
}

// Waits a moment where there is nothing to collect; evaluations still ask for the newest policy then. False
// if there is something to collect.
bool CollectionLoop::Rest() {
  if (StopRequested()) {
    return true;
  }
  if (!PauseRequested() && !finished_) {
    return false;
  }
  const absl::Status status = parts_.policies->WaitForNewer(seen_version_, CollectionSlice()).status();
  if (status.ok()) {
    AdoptPolicy();
  } else if (!absl::IsDeadlineExceeded(status)) {
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithDeadline(absl::Condition(&stop_), CollectionSlice());
  }
  Report();
  return true;
}

bool CollectionLoop::PauseRequested() const {
  absl::MutexLock lock(&mutex_);
  return paused_;
}

absl::Status CollectionLoop::Iterate() {
  if (PauseRequested()) {
    RETURN_IF_ERROR(Flush());
  }
  if (Rest()) {
    return absl::OkStatus();
  }
  AdoptPolicy();
  if (refused_in_a_row_ >= options_.max_failures) {
    return absl::InternalError(absl::StrCat(refused_in_a_row_, " policies in a row were not usable"));
  }
  const int64_t rows = std::min<int64_t>(options_.num_environments, options_.max_run_ahead_steps);
  if (!connected_) {
    return WaitForAllowance(rows);
  }
  if (TableRows() >= options_.environment_steps) {
    return CheckFinished();
  }
  return parts_.writer->RowsAllowed() - OpenRows() < rows ? WaitForAllowance(rows) : Collect();
}

absl::Status CollectionLoop::WaitForAllowance(int64_t rows) {
  // Rows that wait here cannot be trained on, and training is what raises the limit.
  RETURN_IF_ERROR(Flush());
  const absl::Duration start = RealClock::Get().Now();
  const absl::Status status = parts_.writer->WaitForRowsAllowed(rows, CollectionSlice());
  parts_.metrics->waiting_s.Increment(absl::ToDoubleSeconds(RealClock::Get().Now() - start));
  sender_.Trim();
  if (IsRetryable(status)) {
    Describe(ComponentState::kRunning,
             connected_ ? "waiting for the learner (run-ahead limit)" : "waiting for replay");
    Report();
    return absl::OkStatus();
  }
  if (absl::IsCancelled(status) && StopRequested()) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(status);
  if (!connected_) {
    connected_ = true;
    rows_base_ = parts_.writer->RowsInserted();
  }
  return absl::OkStatus();
}

absl::Status CollectionLoop::Collect() {
  const int64_t steps_before = parts_.collector->num_steps();
  const int64_t table_rows = TableRows();
  const bool random_actions = table_rows < options_.learning_starts;
  if (!random_actions && !options_.planned && !std::exchange(waited_for_policy_, true)) {
    RETURN_IF_ERROR(Flush());
    AdoptFirstPolicy();
  }
  chunk_start_ = std::min(chunk_start_, absl::Now());
  const absl::Status planned = parts_.collector->Step(random_actions);
  EndAppliedTraces();
  RETURN_IF_ERROR(sender_.Send(TakeChunk(/*flush=*/false), absl::InfiniteFuture()));
  if (!planned.ok()) {
    return WaitForPlanner(planned);
  }
  non_finite_in_a_row_ = parts_.collector->num_steps() > steps_before ? 0 : non_finite_in_a_row_ + 1;
  if (non_finite_in_a_row_ >= options_.max_failures) {
    return absl::InternalError(
        absl::StrCat("the simulator gave non-finite numbers in ", non_finite_in_a_row_, " steps in a row"));
  }
  Describe(ComponentState::kRunning,
           random_actions     ? absl::StrCat("random actions until row ", options_.learning_starts)
           : options_.planned ? "collecting by plans"
                              : absl::StrCat("collecting with policy ", parts_.collector->policy_version()));
  sender_.Trim();
  Report();
  return absl::OkStatus();
}

TransitionChunk CollectionLoop::TakeChunk(bool flush) {
  TransitionChunk chunk = parts_.collector->TakeChunk(flush);
  if (parts_.trace_log == nullptr || chunk.segments.empty()) {
    return chunk;
  }
  chunk.trace = parts_.trace_log->StartTrace();
  if (chunk.trace.has_value()) {
    const Segment& first = chunk.segments.front();
    parts_.trace_log->Add(
        *chunk.trace, nullptr,
        {.name = "collect",
         .start = chunk_start_,
         .end = absl::Now(),
         .attributes = {{"rows", int64_t{chunk.num_rows()}},
                        {"episode", static_cast<int64_t>(first.episode_id)},
                        {"first_step", int64_t{first.first_step}},
                        {"policy_version", static_cast<int64_t>(first.policy_versions.front())}}});
  }
  chunk_start_ = absl::InfiniteFuture();
  return chunk;
}

void CollectionLoop::EndAppliedTraces() {
  if (!applied_traces_.empty()) {
    AddChildSpans(
        parts_.trace_log, std::exchange(applied_traces_, {}),
        {.name = "apply",
         .start = adopted_,
         .end = absl::Now(),
         .attributes = {{"policy_version", static_cast<int64_t>(parts_.collector->policy_version())}}});
  }
}

absl::Status CollectionLoop::WaitForPlanner(const absl::Status& reason) {
  // Rows that wait here cannot be trained on, and a model may be what the planner waits for.
  RETURN_IF_ERROR(Flush());
  sender_.Trim();
  Report();
  // Cancelled: the planner drains, or this actor.
  if (!absl::IsUnavailable(reason) && !absl::IsDeadlineExceeded(reason) && !absl::IsCancelled(reason)) {
    return reason;
  }
  Describe(ComponentState::kRunning, absl::StrCat("waiting for a plan: ", reason.message()));
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithDeadline(absl::Condition(&stop_), CollectionSlice());
  return absl::OkStatus();
}

absl::Status CollectionLoop::CheckFinished() {
  RETURN_IF_ERROR(Flush());
  const absl::Status status = parts_.writer->Flush(CollectionSlice());
  if (!status.ok()) {
    Describe(ComponentState::kRunning, "waiting for replay to take the last rows");
    return IsRetryable(status) || (absl::IsCancelled(status) && StopRequested()) ? absl::OkStatus() : status;
  }
  sender_.Trim();
  // Everything collected has arrived, so the table's own count is exact; quarantined rows are not in it.
  rows_base_ = parts_.writer->RowsInserted() - parts_.collector->num_steps();
  if (parts_.writer->RowsInserted() >= options_.environment_steps) {
    finished_ = true;
    parts_.collector->TruncateEpisodes();
    spdlog::info("collection finished: the table has taken {} rows", parts_.writer->RowsInserted());
    Describe(ComponentState::kRunning, "finished");
  }
  Report();
  return absl::OkStatus();
}

void CollectionLoop::AdoptPolicy() {
  const std::shared_ptr<const Snapshot> latest = parts_.policies->Latest();
  if (latest == nullptr || latest->metadata.version() == seen_version_) {
    return;
  }
  const absl::Time start = absl::Now();
  seen_version_ = latest->metadata.version();
  auto policy = std::make_shared<Policy>();
  policy->version = seen_version_;
  absl::Status status;
  const std::string schema_hash = parts_.collector->spec().SchemaHash();
  if (!latest->metadata.schema_hash().empty() && latest->metadata.schema_hash() != schema_hash) {
    status = absl::InvalidArgumentError(
        absl::StrCat("schema ", latest->metadata.schema_hash(), ", this environment has ", schema_hash));
  } else if (absl::StatusOr<TensorFile> tensors = DecodeSafetensors(latest->payload); tensors.ok()) {
    policy->tensors = *std::move(tensors);
    status = parts_.collector->SetPolicy(policy->tensors, policy->version);
  } else {
    status = tensors.status();
  }
  if (!status.ok()) {
    ++refused_in_a_row_;
    parts_.metrics->policies_refused.Increment();
    spdlog::warn("policy {} refused: {}", seen_version_, std::string(status.message()));
    return;
  }
  refused_in_a_row_ = 0;
  parts_.metrics->policy_applied.Applied(PublishTime(latest->metadata), absl::Now());
  adopted_ = applied_traces_.empty() ? start : adopted_;
  KeepTraces(DecodeTraceContexts(latest->metadata.traces()), &applied_traces_);
  absl::MutexLock lock(&mutex_);
  policy_ = std::move(policy);
}

// Once learning has started, an actor waits a moment for its first policy rather than acting at random on.
void CollectionLoop::AdoptFirstPolicy() {
  const absl::Time deadline = absl::Now() + options_.first_policy_wait;
  absl::Status status = absl::DeadlineExceededError("");
  while (absl::IsDeadlineExceeded(status) && absl::Now() < deadline && !StopRequested()) {
    status = parts_.policies->WaitForNewer(0, std::min(CollectionSlice(), deadline)).status();
  }
  AdoptPolicy();
}

void CollectionLoop::Report() {
  ActorMetrics& metrics = *parts_.metrics;
  const EpisodeCollector& collector = *parts_.collector;
  for (const EpisodeSummary& episode : parts_.collector->TakeEpisodes()) {
    metrics.episodes.Increment();
    last_returns_.push_back(episode.episode_return);
    if (last_returns_.size() > kNumReturns) {
      last_returns_.pop_front();
    }
    metrics.last_return.Set(Mean(last_returns_));
  }
  metrics.steps.Increment(static_cast<double>(collector.num_steps() - reported_steps_));
  reported_steps_ = collector.num_steps();
  metrics.non_finite.Increment(static_cast<double>(collector.num_non_finite() - reported_non_finite_));
  reported_non_finite_ = collector.num_non_finite();
  const double lag = static_cast<double>(seen_version_) - static_cast<double>(collector.policy_version());
  metrics.policy_version.Set(static_cast<double>(collector.policy_version()));
  metrics.policy_lag.Set(lag);

  const absl::Duration now = RealClock::Get().Now();
  absl::MutexLock lock(&mutex_);
  status_.figures["steps"] = static_cast<double>(reported_steps_);
  status_.figures["rows_inserted"] = static_cast<double>(parts_.writer->RowsInserted());
  status_.figures["episodes"] = metrics.episodes.Value();
  status_.figures["policy_version"] = static_cast<double>(collector.policy_version());
  status_.figures["policy_lag"] = lag;
  status_.figures["policies_refused"] = metrics.policies_refused.Value();
  status_.figures["non_finite"] = static_cast<double>(reported_non_finite_);
  if (!last_returns_.empty()) {
    status_.figures["last_return"] = Mean(last_returns_);
  }
  if (now - window_start_ >= kRateWindow) {
    status_.figures["steps_per_second"] =
        static_cast<double>(reported_steps_ - window_steps_) / absl::ToDoubleSeconds(now - window_start_);
    window_start_ = now;
    window_steps_ = reported_steps_;
  }
}

}  // namespace demorl
