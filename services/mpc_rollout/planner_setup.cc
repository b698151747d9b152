#include "services/mpc_rollout/planner_setup.h"

#include "common/base/random.h"

namespace demorl {

RolloutPlanner::Options MakePlannerOptions(const demorl::config::v1::RunConfig& config,
                                           const PlanningEnvironment& environment,
                                           absl::string_view seed_name, uint64_t seed_index) {
  return {.config = config.planner(),
          .discount = config.sac().discount(),
          .observation_size = environment.spec.observation_size,
          .action_size = environment.spec.action_size,
          .environment_id = config.environment(),
          .termination_rule = environment.termination_rule,
          .seed = SplitSeed(config.seed(), seed_name, seed_index),
          .device = config.device()};
}

}  // namespace demorl
