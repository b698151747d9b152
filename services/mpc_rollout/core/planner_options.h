#pragma once

#include "absl/status/statusor.h"
#include "common/planning/dmd_mpc_options.h"
#include "demorl/config/v1/planner.pb.h"

namespace demorl {

// The one place where the configuration becomes switches of the inner loop. `learner_discount` counts where
// config.discount is not set. INVALID_ARGUMENT for an enum value left unspecified, for contradictory
// switches, and for a sink that the model cannot serve.
absl::StatusOr<DmdMpcOptions> MakeDmdMpcOptions(const demorl::config::v1::PlannerConfig& config,
                                                double learner_discount);

}  // namespace demorl
