#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace demorl {

// One step of an environment, from which to plan.
struct PlanningState {
  std::span<const float> observation;  // [O]
  // A new episode begins: the plan of before says nothing about it.
  bool first_step = false;
  // Environment::SaveState, where the true simulator is the planner's model; else empty.
  absl::string_view simulator_state;
};

struct PlannedAction {
  std::vector<float> action;  // [A], normalised to [-1, 1]
  // The policy that the planner had; 0 for none.
  uint64_t policy_version = 0;
  // The action is that policy's, since there was no finite plan.
  bool fallback = false;
};

// Plans the actions of one environment, step after step. Thread-compatible.
class OnlinePlanner {
 public:
  virtual ~OnlinePlanner() = default;

  // Blocks until the plan is there. UNAVAILABLE or DEADLINE_EXCEEDED: there is no model yet, or no planner
  // answers; ask again. CANCELLED when told to stop, or by a planner that drains. Any other error is final.
  virtual absl::StatusOr<PlannedAction> Plan(const PlanningState& state) = 0;
};

// Where actors get their planners from; called once per environment.
struct PlannerSource {
  std::function<absl::StatusOr<std::unique_ptr<OnlinePlanner>>()> make_planner;
  // PlanningState::simulator_state is wanted.
  bool true_simulator = false;
};

}  // namespace demorl
