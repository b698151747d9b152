#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "services/robot_gateway/bench_figures.h"

namespace demorl {

// Time of a tick without waiting in between, thus with warm caches, and of its policy alone, in a real-time
// thread on `cpu`. Sets `scheduler` to what that thread was granted.
absl::StatusOr<std::vector<Figure>> TightLoopFigures(int cpu, std::string* scheduler);

}  // namespace demorl
