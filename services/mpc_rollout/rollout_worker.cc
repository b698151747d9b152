#include "services/mpc_rollout/rollout_worker.h"

#include <pthread.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/config/run_modes.h"
#include "common/tensor/trace_codec.h"
#include "services/mpc_rollout/chunking.h"
#include "services/mpc_rollout/warm_up.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

constexpr char kPlannedTable[] = "mpc";
constexpr char kEnvironmentTable[] = "env";
constexpr size_t kMaxChunkBytes = 900 << 10;  // below the 1 MiB that replay likes in one message
// How long one wait lasts before the worker looks around.
constexpr absl::Duration kWaitSlice = absl::Seconds(1);
// A share that takes as many times longer than the one before is given to others as well.
constexpr int kLeaseFactor = 4;
constexpr absl::Duration kShortestLease = absl::Seconds(30);

// Another attempt can succeed: nothing is wrong with what was asked.
bool IsTransient(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsNotFound(status);
}

}  // namespace

RolloutWorker::RolloutWorker(Parts parts)
    : parts_(std::move(parts)), feed_(*parts_.feed), metrics_(*parts_.metrics) {}

RolloutWorker::~RolloutWorker() { Stop(absl::Now()).IgnoreError(); }

void RolloutWorker::Start() {
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "mpc_rollout");
    Run();
  });
}

void RolloutWorker::SetPaused(bool paused) {
  absl::MutexLock lock(&mutex_);
  paused_ = paused;
}

ComponentStatus RolloutWorker::Status() const {
  absl::MutexLock lock(&mutex_);
  ComponentStatus status{.state = state_, .detail = detail_};
  if (stopping_) {
    status.state = ComponentState::kDraining;
  } else if (paused_ && state_ != ComponentState::kUnhealthy) {
    status.state = ComponentState::kPaused;
  }
  status.figures = {{"rounds", figures_.rounds},
                    {"rows", figures_.rows},
                    {"horizon_steps", figures_.horizon_steps},
                    {"base_return", figures_.base_return},
                    {"plan_return", figures_.plan_return},
                    {"round_seconds", figures_.round_seconds},
                    {"dynamics_version", figures_.dynamics_version},
                    {"planning_round", figures_.planning_round},
                    {"skipped_starts", figures_.skipped_starts}};
  return status;
}

absl::Status RolloutWorker::Stop(absl::Time deadline) {
  {
    absl::MutexLock lock(&mutex_);
    if (!stopping_) {
      stopping_ = true;
      drain_deadline_ = deadline;
    }
    if (sampler_ != nullptr) {
      sampler_->Close();
    }
  }
  stop_.RequestStop();
  if (thread_.joinable()) {
    thread_.join();
  }
  absl::MutexLock lock(&mutex_);
  return flushed_;
}

void RolloutWorker::Run() {
  absl::Status status = Prepare();
  while (status.ok() && WaitUntilRunning()) {
    status = Serve();
    if (IsTransient(status)) {
      SetDetail(ComponentState::kRunning, absl::StrCat("waiting: ", std::string(status.message())));
      stop_.token().WaitFor(kWaitSlice);
      status = absl::OkStatus();
    }
  }
  if (!status.ok() && !absl::IsCancelled(status)) {
    spdlog::error("planning stopped: {}", std::string(status.message()));
    SetDetail(ComponentState::kUnhealthy, std::string(status.message()));
  }
  FinishWriting();
}

// Makes what was appended durable, in the time that the drain leaves.
void RolloutWorker::FinishWriting() {
  ReplayWriter* writer = nullptr;
  absl::Time deadline = absl::Now() + absl::Seconds(10);
  {
    absl::MutexLock lock(&mutex_);
    writer = writer_.get();
    deadline = std::min(deadline, drain_deadline_);
  }
  if (writer == nullptr) {
    return;
  }
  absl::Status flushed = writer->Flush(deadline);
  writer->Close();
  absl::MutexLock lock(&mutex_);
  flushed_ = std::move(flushed);
}

template <typename T>
absl::StatusOr<T> RolloutWorker::AskUntilThere(const std::function<absl::StatusOr<T>()>& ask) {
  absl::StatusOr<T> answer = ask();
  while (IsTransient(answer.status())) {
    SetDetail(ComponentState::kStarting, absl::StrCat("waiting: ", std::string(answer.status().message())));
    if (stop_.token().WaitFor(kWaitSlice)) {
      return absl::CancelledError("stopped");
    }
    answer = ask();
  }
  return answer;
}

absl::Status RolloutWorker::Prepare() {
  ASSIGN_OR_RETURN(environment_, AskUntilThere(parts_.find_environment));
  if (FillsPlannedTable(parts_.config)) {
    RETURN_IF_ERROR(PrepareTable());
  }
  WarmUp warm_up(parts_.is_published, feed_);
  RETURN_IF_ERROR(AskUntilThere<bool>([&]() -> absl::StatusOr<bool> {
                    RETURN_IF_ERROR(warm_up.Try(parts_.config, environment_));
                    return true;
                  }).status());
  SetDetail(ComponentState::kRunning,
            planner_ == nullptr ? "plans on request only" : "has what there is to plan with");
  return absl::OkStatus();
}

absl::Status RolloutWorker::PrepareTable() {
  ASSIGN_OR_RETURN(const uint64_t latest_round, AskUntilThere(parts_.latest_planning_round));
  // Neither a restart nor another planner may repeat the random numbers of the rounds before.
  RolloutPlanner::Options options =
      MakePlannerOptions(parts_.config, environment_,
                         absl::StrCat(parts_.planner_id, " after ", latest_round), parts_.start_count);
  options.cancelled = [token = stop_.token()] { return token.stop_requested(); };
  ASSIGN_OR_RETURN(planner_, RolloutPlanner::Create(options));
  absl::MutexLock lock(&mutex_);
  writer_ = parts_.open_writer({.table = kPlannedTable,
                                .writer_id = parts_.planner_id,
                                .writer_epoch = parts_.start_count,
                                .environment = environment_.spec,
                                .simulated = false});
  return absl::OkStatus();
}

absl::Status RolloutWorker::Serve() {
  if (planner_ == nullptr) {  // plans on request only
    return stop_.token().WaitFor(kWaitSlice) ? absl::CancelledError("stopped") : absl::OkStatus();
  }
  const absl::Status newer = feed_.WaitForNewDynamics(planned_version_, absl::Now() + kWaitSlice);
  if (absl::IsDeadlineExceeded(newer)) {
    if (failures_in_a_row_ == 0) {
      SetDetail(ComponentState::kRunning,
                planned_version_ == 0 ? "waiting for a first dynamics snapshot"
                                      : absl::StrCat("waiting for dynamics after ", planned_version_));
    }
    if (planned_version_ == 0) {
      return absl::OkStatus();
    }
  } else {
    RETURN_IF_ERROR(newer);
  }
  return RunShares();
}

absl::Status RolloutWorker::RunShares() {
  while (WaitUntilRunning()) {
    const std::shared_ptr<const Snapshot> dynamics =
        feed_.Update(environment_.spec.SchemaHash(), &offered_, planner_.get());
    if (dynamics != nullptr) {
      KeepTraces(DecodeTraceContexts(dynamics->metadata.traces()), &dynamics_traces_);
    }
    if (!planner_->ready()) {
      SetDetail(ComponentState::kRunning, "waiting for a policy and value to plan with");
      stop_.token().WaitFor(absl::Milliseconds(200));
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const RoundShare share, ClaimShare());
    if (share.start_states == 0) {
      planned_version_ = offered_.dynamics.version;
      return absl::OkStatus();
    }
    SetDetail(ComponentState::kRunning, absl::StrCat("planning with dynamics ", offered_.dynamics.version));
    share_finished_ = false;
    const absl::Duration begin = RealClock::Get().Now();
    RETURN_IF_ERROR(RunShare(share));
    share_time_ = RealClock::Get().Now() - begin;
    share_finished_ = true;
  }
  return absl::CancelledError("stopped");
}

absl::StatusOr<RoundShare> RolloutWorker::ClaimShare() {
  return parts_.claim_round({.planner_id = parts_.planner_id,
                             .dynamics_version = offered_.dynamics.version,
                             .rounds_per_version = parts_.config.planner().rounds_per_model(),
                             .start_states_per_round = parts_.config.planner().num_start_states(),
                             .finished = share_finished_,
                             .lease = std::max(kLeaseFactor * share_time_, kShortestLease)});
}

absl::Status RolloutWorker::RunShare(const RoundShare& share) {
  ASSIGN_OR_RETURN(const SampledBatch starts, DrawStartStates(share.start_states));
  const absl::Duration begin = RealClock::Get().Now();
  const int64_t rows = std::max(starts.rows_inserted, feed_.EnvironmentRows());
  absl::StatusOr<PlanningReport> report = planner_->PlanRound(starts.batch.observations, rows);
  if (absl::IsCancelled(report.status())) {
    return report.status();
  }
  if (!report.ok()) {
    RecordFailure(report.status());
    return absl::OkStatus();
  }
  for (Segment& segment : report->rows.segments) {
    segment.provenance->planning_round = share.planning_round;
  }
  const absl::Duration duration = RealClock::Get().Now() - begin;
  Record(*report, duration);
  TraceRound(starts, duration, &report->rows);
  return Append(std::move(report->rows));
}

void RolloutWorker::TraceRound(const SampledBatch& starts, absl::Duration duration, TransitionChunk* rows) {
  std::vector<TraceContext> traces = std::exchange(dynamics_traces_, {});
  KeepTraces(starts.traces, &traces);
  const absl::Time now = absl::Now();
  traces =
      AddChildSpans(parts_.trace_log, traces,
                    {.name = "plan",
                     .start = now - duration,
                     .end = now,
                     .attributes = {{"dynamics_version", static_cast<int64_t>(planner_->dynamics_version())},
                                    {"rows", int64_t{rows->num_rows()}}}});
  if (!traces.empty()) {
    rows->trace = traces.front();
  }
}

absl::StatusOr<SampledBatch> RolloutWorker::DrawStartStates(int64_t count) {
  BatchSampler* sampler = nullptr;
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_) {
      return absl::CancelledError("stopped");
    }
    sampler_ = parts_.open_sampler({.shares = {{kEnvironmentTable, static_cast<int>(count)}},
                                    .batches_in_flight = 1,
                                    .counts_as_update = false});
    sampler = sampler_.get();
  }
  absl::StatusOr<SampledBatch> batch = sampler->Next(absl::Now() + absl::Seconds(10));
  absl::MutexLock lock(&mutex_);
  sampler_.reset();
  return batch;
}

absl::Status RolloutWorker::Append(TransitionChunk rows) {
  ReplayWriter* writer = nullptr;
  {
    absl::MutexLock lock(&mutex_);
    writer = writer_.get();
  }
  for (const TransitionChunk& chunk : SplitChunk(std::move(rows), kMaxChunkBytes)) {
    absl::Status appended;
    do {
      appended = writer->Append(chunk, absl::Now() + kWaitSlice);
    } while (absl::IsDeadlineExceeded(appended) && !stop_.stop_requested());
    RETURN_IF_ERROR(appended);
  }
  return absl::OkStatus();
}

void RolloutWorker::Record(const PlanningReport& report, absl::Duration duration) {
  failures_in_a_row_ = 0;
  metrics_.rounds.Increment();
  metrics_.rows.Increment(report.rows.num_rows());
  metrics_.skipped_starts.Increment(static_cast<double>(report.skipped_starts));
  metrics_.horizon_steps.Set(report.horizon_steps);
  metrics_.base_return.Set(report.base_return);
  metrics_.plan_return.Set(report.plan_return);
  metrics_.dynamics_version.Set(static_cast<double>(planner_->dynamics_version()));
  metrics_.round_seconds.Observe(absl::ToDoubleSeconds(duration));
  absl::MutexLock lock(&mutex_);
  state_ = ComponentState::kRunning;
  figures_.rounds += 1;
  figures_.rows += report.rows.num_rows();
  figures_.skipped_starts += report.skipped_starts;
  figures_.horizon_steps = report.horizon_steps;
  figures_.base_return = report.base_return;
  figures_.plan_return = report.plan_return;
  figures_.round_seconds = absl::ToDoubleSeconds(duration);
  figures_.dynamics_version = planner_->dynamics_version();
  figures_.planning_round = report.rows.segments.front().provenance->planning_round;
}

void RolloutWorker::RecordFailure(const absl::Status& status) {
  metrics_.failed_rounds.Increment();
  ++failures_in_a_row_;
  spdlog::warn("planning round failed, {} in a row: {}", failures_in_a_row_, std::string(status.message()));
  if (failures_in_a_row_ >= parts_.config.planner().max_non_finite()) {
    SetDetail(ComponentState::kUnhealthy,
              absl::StrCat(failures_in_a_row_,
                           " planning rounds failed in a row: ", std::string(status.message())));
  }
}

void RolloutWorker::SetDetail(ComponentState state, const std::string& detail) {
  absl::MutexLock lock(&mutex_);
  // A round that succeeds makes the worker healthy again, not one that is only tried.
  if (state_ != ComponentState::kUnhealthy || state == ComponentState::kUnhealthy) {
    state_ = state;
    detail_ = detail;
  }
}

bool RolloutWorker::WaitUntilRunning() {
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(this, &RolloutWorker::CanGoOn));
  return !stopping_;
}

}  // namespace demorl
