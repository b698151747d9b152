#include "services/actor/core/environment_planner.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace demorl {

absl::StatusOr<std::unique_ptr<EnvironmentPlanner>> EnvironmentPlanner::Create(const PlannerSource& source) {
  if (!source.make_planner) {
    return nullptr;
  }
  ASSIGN_OR_RETURN(std::unique_ptr<OnlinePlanner> planner, source.make_planner());
  return std::unique_ptr<EnvironmentPlanner>(
      new EnvironmentPlanner(std::move(planner), source.true_simulator));
}

absl::StatusOr<uint64_t> EnvironmentPlanner::Plan(const Environment& environment,
                                                  std::span<const float> observation, bool first_step,
                                                  std::span<float> action) {
  const std::string simulator_state = true_simulator_ ? environment.SaveState() : std::string();
  ASSIGN_OR_RETURN(const PlannedAction planned, planner_->Plan({.observation = observation,
                                                                .first_step = first_step,
                                                                .simulator_state = simulator_state}));
  if (planned.action.size() != action.size()) {
    return absl::InternalError(absl::StrCat("the planner answered with an action of ", planned.action.size(),
                                            " values; want ", action.size()));
  }
  std::copy(planned.action.begin(), planned.action.end(), action.begin());
  return planned.policy_version;
}

}  // namespace demorl
