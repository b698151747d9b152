#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/random.h"
#include "common/planning/dmd_mpc_options.h"
#include "common/planning/dynamics_model.h"
#include "common/planning/policy_function.h"

namespace demorl {

// Batched rollouts of a model, the step that all planners share. B rollouts, H steps, O and A sizes of
// observation and action.

// What a planner plans with; borrowed. Policy and value may be null where the options do not need them.
struct PlanningParts {
  DynamicsModel* model = nullptr;
  PolicyFunction* policy = nullptr;
  ValueFunction* value = nullptr;
};

// How rollouts choose their actions.
class ActionSource {
 public:
  virtual ~ActionSource() = default;

  // observations [B, O] -> actions [B, A] of step `step`; they are clipped by the caller.
  virtual absl::Status Actions(int step, std::span<const float> observations,
                               std::vector<float>* actions) = 0;
};

struct RolloutRequest {
  int horizon_steps = 0;
  std::vector<float> observations;  // [B, O], where they start
  std::vector<int> start_indices;   // [B], of the start state, for the model
  std::vector<int> members;         // [B], the ensemble member of each
  // A fresh member per row and step instead, from `member_streams`.
  bool redraw_members = false;
  // One stream per start state; its rows are consecutive and equal in number for all. Of a start state's
  // rows, r and r + draws_per_start share their draws of predictions and members; 0 for draws of each row's
  // own.
  int draws_per_start = 0;
  std::span<Random> model_streams;
  std::span<Random> member_streams;
  // Keeps observations, rewards and terminations, and takes the last step also where no return needs it.
  bool keep_trace = false;
  // Asked before each step; true gives the rollouts up (DEADLINE_EXCEEDED). May be empty.
  std::function<bool()> out_of_time;
};

struct Rollouts {
  // [B]: discounted return, masked after a termination, with the terminal value (paper, eq. 3 with C = -R);
  // -inf where an action, prediction or value was not finite.
  std::vector<double> returns;
  std::vector<float> actions;  // [B, H, A], clipped
  // With keep_trace:
  std::vector<float> observations;  // [B, H + 1, O]
  std::vector<float> rewards;       // [B, H]
  std::vector<uint8_t> terminated;  // [B, H], also where terminations are ignored
  std::vector<int> num_steps;       // [B], steps up to and including a termination that is not ignored
};

absl::StatusOr<Rollouts> RollOut(const DmdMpcOptions& options, const PlanningParts& parts,
                                 const RolloutRequest& request, ActionSource& source);

}  // namespace demorl
