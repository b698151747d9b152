#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace demorl {

// A planner that asks for work.
struct RoundClaim {
  // Unique among the planners of the run.
  std::string planner_id;
  // That it would plan with.
  uint64_t dynamics_version = 0;
  // What a new dynamics version calls for.
  int rounds_per_version = 1;
  int64_t start_states_per_round = 1;
  // The rows of its claim before have been appended or cannot be; else that share is given out again.
  bool finished = false;
  // When its share may be given out again although it has not come back.
  absl::Duration lease = absl::Minutes(5);
};

struct RoundShare {
  uint64_t planning_round = 0;
  // 0 when nothing is due.
  int64_t start_states = 0;
};

}  // namespace demorl
