#include "services/mpc_rollout/plan_session.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/tensor/transition_codec.h"

namespace demorl {
namespace {

using ::demorl::planning::v1::PlanRequest;
using ::demorl::planning::v1::PlanResponse;

absl::Duration TimeBudget(const PlanRequest& request) {
  if (!request.has_time_budget()) {
    return absl::InfiniteDuration();
  }
  return absl::Seconds(request.time_budget().seconds()) + absl::Nanoseconds(request.time_budget().nanos());
}

absl::StatusOr<std::vector<float>> DecodeObservation(const PlanRequest& request) {
  ASSIGN_OR_RETURN(std::vector<float> observation, DecodeFloats(request.observation()));
  if (!std::all_of(observation.begin(), observation.end(),
                   [](float value) { return std::isfinite(value); })) {
    return absl::InvalidArgumentError(
        absl::StrCat("observation of request ", request.request_id(), " is not finite; want finite values"));
  }
  return observation;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PlanSession>> PlanSession::Create(const demorl::config::v1::RunConfig& config,
                                                                 const PlanningEnvironment& environment,
                                                                 uint64_t number, SnapshotFeed& feed,
                                                                 MpcRolloutMetrics& metrics) {
  ASSIGN_OR_RETURN(
      std::unique_ptr<RolloutPlanner> planner,
      RolloutPlanner::Create(MakePlannerOptions(config, environment, "mpc_rollout.plan", number)));
  return std::unique_ptr<PlanSession>(
      new PlanSession(environment.spec.SchemaHash(), std::move(planner), feed, metrics));
}

PlanSession::PlanSession(std::string schema_hash, std::unique_ptr<RolloutPlanner> planner, SnapshotFeed& feed,
                         MpcRolloutMetrics& metrics)
    : schema_hash_(std::move(schema_hash)), planner_(std::move(planner)), feed_(feed), metrics_(metrics) {}

absl::StatusOr<PlanResponse> PlanSession::Answer(const PlanRequest& request) {
  const absl::Duration begin = RealClock::Get().Now();
  ASSIGN_OR_RETURN(const std::vector<float> observation, DecodeObservation(request));
  if (!request.simulator_state().empty()) {
    RETURN_IF_ERROR(planner_->SetSimulatorState(request.simulator_state()));
  }
  feed_.Update(schema_hash_, &offered_, planner_.get());
  const absl::Duration left = TimeBudget(request) - (RealClock::Get().Now() - begin);
  ASSIGN_OR_RETURN(OnlinePlan plan,
                   planner_->Plan(observation, request.first_step(), feed_.EnvironmentRows(), left));
  metrics_.plans.Increment();
  metrics_.fallbacks.Increment(plan.fallback ? 1 : 0);
  metrics_.plan_seconds.Observe(absl::ToDoubleSeconds(RealClock::Get().Now() - begin));
  PlanResponse response;
  response.set_request_id(request.request_id());
  if (!request.whole_plan()) {
    plan.actions.resize(plan.actions.size() / plan.horizon_steps);
  }
  response.set_actions(EncodeFloats(plan.actions));
  response.set_horizon_steps(plan.horizon_steps);
  response.set_predicted_return(plan.predicted_return);
  response.set_fallback(plan.fallback);
  response.set_dynamics_version(planner_->dynamics_version());
  response.set_policy_version(planner_->policy_version());
  return response;
}

}  // namespace demorl
