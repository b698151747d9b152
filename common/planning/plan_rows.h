#pragma once

#include "common/planning/dmd_mpc.h"

namespace demorl {

// Runs the plans of start states [first_start, first_start + num_starts) in the model and appends their rows,
// up to a termination that is not ignored, one segment each; an ignored termination only closes the segment.
// A rollout that the horizon cuts is `truncated`.
absl::Status RollPlans(const DmdMpcOptions& options, const PlanningParts& parts, const PlanningTask& task,
                       const ImprovedPlans& plans, const PlannedRowLabels& labels, int first_start,
                       int num_starts, PlannedRows* rows);

}  // namespace demorl
