#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "common/env/environment.h"
#include "common/planning/online_planner.h"

namespace demorl {

// Chooses the actions of one environment by online plans. Thread-compatible.
class EnvironmentPlanner {
 public:
  // Null where `source` makes no planners.
  static absl::StatusOr<std::unique_ptr<EnvironmentPlanner>> Create(const PlannerSource& source);

  // Writes the action [A] for the present state of the environment, `observation` its observation [O]; the
  // version of the planner's policy. Blocks; errors as OnlinePlanner::Plan, INTERNAL for an action of another
  // size.
  absl::StatusOr<uint64_t> Plan(const Environment& environment, std::span<const float> observation,
                                bool first_step, std::span<float> action);

 private:
  EnvironmentPlanner(std::unique_ptr<OnlinePlanner> planner, bool true_simulator)
      : planner_(std::move(planner)), true_simulator_(true_simulator) {}

  const std::unique_ptr<OnlinePlanner> planner_;
  const bool true_simulator_;
};

}  // namespace demorl
