#pragma once

#include "demorl/config/v1/run.pb.h"

namespace demorl {

// What a complete configuration asks of the services of its run.

// A dynamics model is learned; false also where the planner's model is the true simulator.
bool TrainsModel(const demorl::config::v1::RunConfig& config);

// Planning rounds put rows into D_MPC.
bool FillsPlannedTable(const demorl::config::v1::RunConfig& config);

// A policy is learned; false where plans act that need neither a policy nor a value.
bool LearnsPolicy(const demorl::config::v1::RunConfig& config);

// Online plans choose the actions in the environment, not the policy.
bool ActsByPlans(const demorl::config::v1::RunConfig& config);

}  // namespace demorl
