#pragma once

#include "absl/strings/string_view.h"
#include "common/env/environment.h"
#include "demorl/config/v1/run.pb.h"
#include "services/mpc_rollout/core/rollout_planner.h"

namespace demorl {

// What is planned for.
struct PlanningEnvironment {
  EnvironmentSpec spec;
  // Null where a classifier has to decide.
  TerminationRule termination_rule = nullptr;
};

// Options of the planners of one run; `seed_name` and `seed_index` tell their random streams apart.
RolloutPlanner::Options MakePlannerOptions(const demorl::config::v1::RunConfig& config,
                                           const PlanningEnvironment& environment,
                                           absl::string_view seed_name, uint64_t seed_index);

}  // namespace demorl
