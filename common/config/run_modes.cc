#include "common/config/run_modes.h"

namespace demorl {

using ::demorl::config::v1::RunConfig;

bool TrainsModel(const RunConfig& config) {
  return config.model_based() && config.planner().model_draw() != demorl::config::v1::MODEL_DRAW_SIMULATOR;
}

bool FillsPlannedTable(const RunConfig& config) {
  return config.model_based() && config.planner().sink() != demorl::config::v1::PLAN_SINK_ACT;
}

bool LearnsPolicy(const RunConfig& config) {
  const demorl::config::v1::PlannerConfig& planner = config.planner();
  return !ActsByPlans(config) || FillsPlannedTable(config) ||
         planner.shift_model() == demorl::config::v1::SHIFT_MODEL_POLICY ||
         planner.policy_proposal_ratio() > 0 || planner.closed_loop_rows() ||
         planner.terminal_value() != demorl::config::v1::TERMINAL_VALUE_NONE;
}

bool ActsByPlans(const RunConfig& config) {
  return config.model_based() && config.planner().sink() != demorl::config::v1::PLAN_SINK_TABLE;
}

}  // namespace demorl
