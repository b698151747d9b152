#include "services/cli/run/run_monitor.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <future>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/config/run_modes.h"
#include "services/actor/actor_client.h"
#include "services/cli/control_client.h"
#include "services/cli/run/scalar_log.h"
#include "services/cli/run/service_names.h"
#include "services/replay/replay_client.h"

namespace demorl {
namespace {

using ::demorl::control::v1::GetStatusResponse;
using ::demorl::replay::v1::TableInfo;

constexpr absl::Duration kPollInterval = absl::Milliseconds(500);
constexpr absl::Duration kProgressInterval = absl::Seconds(10);
constexpr absl::Duration kEvaluationTimeout = absl::Minutes(10);
constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

double Figure(const GetStatusResponse& status, const std::string& name) {
  const auto found = status.figures().find(name);
  return found == status.figures().end() ? kUnknown : found->second;
}

}  // namespace

// What one look at all services found.
struct Observation {
  ProgressRow progress;
  double min_rows = 0;
  double updates_per_row = 0;
  // By the planner since its start, without those it fell back from.
  double plans = 0;
  // First service that cannot go on, with its reason.
  std::string unhealthy;
  // What the run waits for, where a service says so.
  std::string waiting_for;
};

// Of the run as it was when the evaluation began.
struct RunningEvaluation {
  int64_t environment_steps = 0;
  double wall_s = 0;
  // The run is complete.
  bool is_last = false;
  std::shared_future<absl::StatusOr<ActorEvaluation>> result;
};

struct RunMonitor::Impl {
  explicit Impl(Options the_options)
      : options(std::move(the_options)),
        replay(options.channels.at("replay"), options.folder->config().run_id()),
        collector(CollectorOf(options.folder->config())),
        display(options.folder->config().environment_steps()),
        log(options.folder->path()),
        start(absl::Now()) {
    for (const auto& [name, channel] : options.channels) {
      controls.emplace(name, channel);
    }
    if (!config().has_robot()) {
      actor.emplace(options.channels.at(collector), config().run_id());
    }
  }

  ~Impl() { evaluation_stop.RequestStop(); }

  const demorl::config::v1::RunConfig& config() const { return options.folder->config(); }
  double WallSeconds() const { return absl::ToDoubleSeconds(absl::Now() - start); }

  // By the services' names.
  using Statuses = std::map<std::string, demorl::control::v1::GetStatusResponse>;

  absl::StatusOr<Observation> Observe();
  absl::Status ObserveTables(Observation* seen);
  Statuses AskServices(Observation* seen);
  void FillProgress(Statuses& statuses, ProgressRow* row) const;
  std::string WhatIsWaitedFor(Statuses& statuses, const ProgressRow& row) const;
  void BeginEvaluation(const Observation& observation, bool is_last);
  absl::Status RecordEvaluation(const RunningEvaluation& begun,
                                const absl::StatusOr<ActorEvaluation>& result);
  // Begins the evaluation that is due, or takes the one that has ended; true once the last is recorded, or
  // the run is complete and has none.
  bool Evaluate(const Observation& observation);
  absl::Status RecordProgress(const Observation& observation);
  absl::Status WriteSummary(bool finished);
  bool EvaluationDue(const Observation& observation) const;
  bool Complete(const Observation& observation) const;

  Options options;
  ReplayClient replay;
  // The service that brings transitions.
  const std::string collector;
  // None where a robot learns: its own episodes are its figures.
  std::optional<ActorClient> actor;
  std::map<std::string, ControlClient> controls;
  ProgressDisplay display;
  ScalarLog log;
  const absl::Time start;
  absl::Time last_progress = absl::InfinitePast();
  ProgressRow last;
  absl::Status last_evaluated;
  StopSource evaluation_stop;
  std::optional<RunningEvaluation> evaluation;
};

RunMonitor::RunMonitor(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}
RunMonitor::~RunMonitor() = default;

absl::StatusOr<Observation> RunMonitor::Impl::Observe() {
  Observation seen;
  RETURN_IF_ERROR(ObserveTables(&seen));
  Statuses statuses = AskServices(&seen);
  FillProgress(statuses, &seen.progress);
  const GetStatusResponse& planner = statuses["mpc_rollout"];
  seen.plans = Figure(planner, "plans") - Figure(planner, "fallbacks");
  if (std::string waiting = WhatIsWaitedFor(statuses, seen.progress); !waiting.empty()) {
    seen.waiting_for = std::move(waiting);
  }
  return seen;
}

absl::Status RunMonitor::Impl::ObserveTables(Observation* seen) {
  ASSIGN_OR_RETURN(const TableInfo env, replay.GetTable("env"));
  seen->progress.environment_steps = static_cast<int64_t>(env.rows_inserted());
  seen->progress.updates = static_cast<int64_t>(env.rate_limiter().updates());
  seen->min_rows = static_cast<double>(env.rate_limiter().min_rows());
  seen->updates_per_row = env.rate_limiter().updates_per_row();
  if (FillsPlannedTable(config())) {
    ASSIGN_OR_RETURN(const TableInfo mpc, replay.GetTable("mpc"));
    seen->progress.planned_rows = static_cast<int64_t>(mpc.rows_inserted());
  }
  return absl::OkStatus();
}

// Of those that answer; says which does not, and which is unhealthy.
RunMonitor::Impl::Statuses RunMonitor::Impl::AskServices(Observation* seen) {
  Statuses statuses;
  for (auto& [name, control] : controls) {
    absl::StatusOr<GetStatusResponse> status = control.GetStatus();
    if (!status.ok()) {
      if (!absl::IsUnimplemented(status.status())) {  // the Python actor has no control service
        seen->waiting_for = absl::StrCat("no answer from ", name);
      }
      continue;
    }
    if (status->state() == demorl::control::v1::SERVICE_STATE_UNHEALTHY && seen->unhealthy.empty()) {
      seen->unhealthy = absl::StrCat(name, ": ", status->detail());
    }
    statuses[name] = *std::move(status);
  }
  return statuses;
}

void RunMonitor::Impl::FillProgress(Statuses& statuses, ProgressRow* row) const {
  row->episode_return = Figure(statuses[collector], "last_return");
  const GetStatusResponse& learner = statuses["sac_learner"];
  row->critic_loss = Figure(learner, "critic_loss");
  row->policy_loss = Figure(learner, "policy_loss");
  row->entropy_temperature = Figure(learner, "entropy_temperature");
  row->real_ratio = Figure(learner, "real_ratio");
  row->updates_per_second = Figure(learner, "updates_per_second");
  const GetStatusResponse& trainer = statuses["model_trainer"];
  row->training_loss = Figure(trainer, "training_loss");
  row->holdout_error = Figure(trainer, "holdout_error");
  const double trainings = Figure(trainer, "trainings");
  row->model_trainings = std::isfinite(trainings) ? static_cast<int64_t>(trainings) : 0;
  const GetStatusResponse& planner = statuses["mpc_rollout"];
  row->horizon_steps = Figure(planner, "horizon_steps");
  row->base_return = Figure(planner, "base_return");
  row->plan_return = Figure(planner, "plan_return");
  row->wall_s = options.folder->earlier_wall_s() + WallSeconds();
}

// Empty where the run goes on.
std::string RunMonitor::Impl::WhatIsWaitedFor(Statuses& statuses, const ProgressRow& row) const {
  const std::string& collected = statuses[collector].detail();
  if (config().has_robot() && !absl::StartsWith(collected, "armed")) {
    return absl::StrCat("the robot: ", collected);
  }
  if (const std::string& learner = statuses["sac_learner"].detail();
      LearnsPolicy(config()) && row.updates == 0 && !learner.empty()) {
    return learner;
  }
  return ActsByPlans(config()) && absl::StartsWith(collected, "waiting") ? collected : "";
}

bool RunMonitor::Impl::EvaluationDue(const Observation& observation) const {
  const int64_t interval = config().actor().evaluation_interval_steps();
  const bool collected = observation.progress.environment_steps >= config().environment_steps();
  const bool no_policy = LearnsPolicy(config()) && observation.progress.updates == 0;
  // A trained model alone is not enough: it reaches the planner later.
  const bool no_plans = ActsByPlans(config()) && !(observation.plans > 0);
  if (!actor.has_value() || interval == 0 || no_policy || no_plans ||
      collected) {  // the last evaluation waits for the updates
    return false;
  }
  const auto& rows = options.folder->evaluations();
  const int64_t last_evaluated = rows.empty() ? 0 : rows.back().environment_steps;
  return observation.progress.environment_steps / interval > last_evaluated / interval;
}

bool RunMonitor::Impl::Complete(const Observation& observation) const {
  const ProgressRow& row = observation.progress;
  const auto rows = static_cast<double>(std::min(row.environment_steps, config().environment_steps()));
  const double earned = (rows - observation.min_rows) * observation.updates_per_row;
  return row.environment_steps >= config().environment_steps() &&
         static_cast<double>(row.updates) + 1 > earned;
}

// Apart from this thread: episodes of plans take minutes, and the progress goes on.
void RunMonitor::Impl::BeginEvaluation(const Observation& observation, bool is_last) {
  const int64_t steps = observation.progress.environment_steps;
  const bool planned = ActsByPlans(config());
  const ActorEvaluationOptions request = {
      .num_episodes = config().actor().evaluation_episodes(),
      .seed = SplitSeed(config().seed(), "evaluation", static_cast<uint64_t>(steps)),
      .planned = planned,
      .timeout = planned ? absl::InfiniteDuration() : kEvaluationTimeout,
      .stop = evaluation_stop.token()};
  evaluation = {
      .environment_steps = steps,
      .wall_s = observation.progress.wall_s,
      .is_last = is_last,
      .result = std::async(std::launch::async, [this, request] { return actor->Evaluate(request); })};
}

absl::Status RunMonitor::Impl::RecordEvaluation(const RunningEvaluation& begun,
                                                const absl::StatusOr<ActorEvaluation>& result) {
  RETURN_IF_ERROR(result.status());
  const EvaluationRow row{.environment_steps = begun.environment_steps,
                          .mean_return = result->mean_return,
                          .stddev_return = result->stddev_return,
                          .mean_length = result->mean_length,
                          .episodes = result->num_episodes,
                          .policy_version = result->policy_version,
                          .wall_s = begun.wall_s};
  RETURN_IF_ERROR(options.folder->AppendEvaluation(row));
  RETURN_IF_ERROR(log.AddEvaluation(row));
  if (options.on_evaluation) {
    options.on_evaluation(row);
  }
  const std::string actor_text =
      ActsByPlans(config()) ? "by plans" : absl::StrCat("policy ", row.policy_version);
  display.Note(absl::StrFormat("evaluation at %s steps: mean return %.1f +- %.1f over %d episodes (%s)",
                               WithThousands(row.environment_steps), row.mean_return, row.stddev_return,
                               row.episodes, actor_text));
  return WriteSummary(/*finished=*/false);
}

bool RunMonitor::Impl::Evaluate(const Observation& observation) {
  if (!evaluation.has_value()) {
    const bool complete = Complete(observation);
    if (!actor.has_value()) {
      return complete;
    }
    if (complete || EvaluationDue(observation)) {
      BeginEvaluation(observation, complete);
    }
    return false;
  }
  if (evaluation->result.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
    return false;
  }
  const RunningEvaluation ended = *std::exchange(evaluation, std::nullopt);
  const absl::Status recorded = RecordEvaluation(ended, ended.result.get());
  if (!recorded.ok() && recorded != last_evaluated) {  // once, for it is tried again at every look
    display.Note(absl::StrCat("evaluation failed, trying again: ", recorded.message()));
  }
  last_evaluated = recorded;
  return recorded.ok() && ended.is_last;
}

absl::Status RunMonitor::Impl::RecordProgress(const Observation& observation) {
  last_progress = absl::Now();
  RETURN_IF_ERROR(options.folder->AppendProgress(observation.progress));
  return log.AddProgress(observation.progress);
}

absl::Status RunMonitor::Impl::WriteSummary(bool finished) {
  return options.folder->WriteSummary({.environment_steps = last.environment_steps,
                                       .updates = last.updates,
                                       .model_trainings = last.model_trainings,
                                       .planned_rows = last.planned_rows,
                                       .wall_s = WallSeconds(),
                                       .finished = finished,
                                       .cpu_seconds = options.cpu_seconds
                                                          ? options.cpu_seconds()
                                                          : std::vector<std::pair<std::string, double>>()});
}

absl::Status RunMonitor::Run(StopToken stop) {
  Impl& self = *impl_;
  while (true) {
    if (self.options.tend) {
      RETURN_IF_ERROR(self.options.tend());
    }
    absl::StatusOr<Observation> seen = self.Observe();
    if (seen.ok()) {
      self.last = seen->progress;
      self.display.Update(seen->progress, seen->waiting_for);
      if (absl::Now() - self.last_progress >= kProgressInterval) {
        RETURN_IF_ERROR(self.RecordProgress(*seen));
      }
      if (self.Evaluate(*seen)) {
        RETURN_IF_ERROR(self.RecordProgress(*seen));
        return self.WriteSummary(/*finished=*/true);
      }
      if (self.options.stop_when_unhealthy && !seen->unhealthy.empty()) {
        RETURN_IF_ERROR(self.WriteSummary(/*finished=*/false));
        return absl::FailedPreconditionError(seen->unhealthy);
      }
    } else if (self.options.stop_when_unhealthy) {
      return seen.status();
    }
    if (stop.WaitFor(kPollInterval)) {
      RETURN_IF_ERROR(self.WriteSummary(/*finished=*/false));
      return absl::CancelledError("stopped on request");
    }
  }
}

}  // namespace demorl
