#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "common/planning/dmd_mpc_options.h"
#include "common/planning/rollout.h"
#include "common/tensor/transition_chunk.h"

namespace demorl {

// The inner loop of M-DeMoRL: dynamic mirror descent MPC, batched over start states. With its switches it is
// also MBPO's rollouts, MoPAC, PETS, PDDM, LOOP, POLO, TOPDM and plain DMD-MPC. Source: "Dynamic Mirror
// Descent based Model Predictive Control for Accelerating Robot Learning", ICRA 2022 (the paper), eqs. 3-14
// and Algorithm 1, lines 11-15. Departures are marked "Differs:".
//
// One iteration: shift the plan to mu~ (eq. 10), sample M candidates around it and roll them out in the model
// (eqs. 11, 12), weigh them by their returns (eq. 13), g = weighted mean of their actions,
//   mu = mu~ + alpha (g - mu~)                                                                        (eq.
//   9).
// Differs: eq. 9 is printed with E[C u] in place of g; without normalisation that is not a mean of actions.
// Differs: with the policy as shift, mu~ is the actions of sample 0, which has no noise; every other sample
// follows the policy at its own states, as in eq. 10, so that no two share one mu~.

// What to plan from. S start states.
struct PlanningTask {
  int horizon_steps = 1;
  std::span<const float> start_observations;  // [S, O]
  // The plans of one step before, [S, H', A]; empty for none.
  std::span<const float> previous_plans;
  // Every random number of the task follows from it.
  uint64_t seed = 0;
  // Where noise is shared, it follows from this seed alone.
  uint64_t shared_noise_seed = 0;
  // Asked before each step of the model; true stops improving. May be empty.
  std::function<bool()> out_of_time;
};

struct ImprovedPlans {
  std::vector<float> plans;          // [S, H, A], clipped
  std::vector<double> base_returns;  // [S], of mu~ of the first iteration; -inf where not finite
  std::vector<uint8_t> valid;        // [S], 0 where no candidate or the plan was not finite
  // The least number of iterations that any start state had before time ran out.
  int num_iterations = 0;
};

// Rows of the plans, run in the model.
struct PlannedRows {
  TransitionChunk chunk;
  std::vector<double> plan_returns;  // [S], -inf where skipped
  int64_t skipped_starts = 0;
};

// How planned rows are marked.
struct PlannedRowLabels {
  uint64_t dynamics_version = 0;
  uint64_t policy_version = 0;
  uint64_t planning_round = 0;
};

// Thread-compatible. Keeps no state between calls: equal tasks give equal results, whatever
// `max_rows_per_call` is.
class DmdMpc {
 public:
  // INVALID_ARGUMENT for contradictory options; FAILED_PRECONDITION if a needed part is null.
  static absl::StatusOr<std::unique_ptr<DmdMpc>> Create(const DmdMpcOptions& options,
                                                        const PlanningParts& parts);

  // Algorithm 1, lines 12 and 13. Out of time: the plans of the iterations that were finished, or
  // DEADLINE_EXCEEDED if some start state had none.
  absl::StatusOr<ImprovedPlans> Improve(const PlanningTask& task) const;

  // Algorithm 1, lines 14 and 15: runs each plan open loop from its start state, on a member drawn afresh, up
  // to a termination; with closed_loop_rows the stochastic policy chooses the actions instead (MBPO). Start
  // states that are not valid or whose rows are not finite are skipped. Needs `plans.valid` only when the
  // loop is closed.
  absl::StatusOr<PlannedRows> Roll(const PlanningTask& task, const ImprovedPlans& plans,
                                   const PlannedRowLabels& labels) const;

  const DmdMpcOptions& options() const { return options_; }

 private:
  DmdMpc(const DmdMpcOptions& options, const PlanningParts& parts) : options_(options), parts_(parts) {}

  DmdMpcOptions options_;
  PlanningParts parts_;
};

}  // namespace demorl
