#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/env/environment.h"
#include "common/policy/safetensors.h"
#include "common/tensor/transition_chunk.h"
#include "demorl/config/v1/planner.pb.h"

namespace demorl {

// What one planning round did.
struct PlanningReport {
  TransitionChunk rows;
  int horizon_steps = 0;
  // Means over start states of the predicted discounted return, before (the base plan) and after improvement.
  double base_return = 0;
  double plan_return = 0;
  int64_t skipped_starts = 0;
};

struct OnlinePlan {
  // [H, A].
  std::vector<float> actions;
  int horizon_steps = 0;
  double predicted_return = 0;
  bool fallback = false;
};

// Plans with the newest dynamics, policy and value: rounds of rollouts for D_MPC, and single plans online.
// Torch stays behind this header. Thread-compatible. Deterministic given seed, snapshots and start states.
class RolloutPlanner {
 public:
  struct Options {
    demorl::config::v1::PlannerConfig config;
    // Of the learner; used where config.discount is not set.
    double discount = 0.99;
    int observation_size = 0;
    int action_size = 0;
    // Needed where the true simulator is the model; may be empty otherwise.
    std::string environment_id;
    // Null for a task without a known rule: the dynamics snapshot's classifier decides.
    TerminationRule termination_rule = nullptr;
    // Number of the first planning round; rounds count up from it.
    uint64_t first_planning_round = 1;
    uint64_t seed = 0;
    // "auto", "cpu" or "cuda".
    std::string device = "cpu";
    // Asked before each step of the model in a planning round; true gives the round up (CANCELLED). May be
    // empty.
    std::function<bool()> cancelled;
  };

  static absl::StatusOr<std::unique_ptr<RolloutPlanner>> Create(const Options& options);
  virtual ~RolloutPlanner() = default;

  // INVALID_ARGUMENT for tensors of other shapes or not finite; the last good ones stay.
  virtual absl::Status SetDynamics(const TensorFile& tensors, uint64_t version) = 0;
  virtual absl::Status SetPolicy(const TensorFile& tensors, uint64_t version) = 0;
  virtual absl::Status SetValue(const TensorFile& tensors, uint64_t version) = 0;

  // True when the snapshots that the configuration needs are set.
  virtual bool ready() const = 0;

  // One round from `start_observations` [S, O]; `environment_rows` places it on the schedules.
  // FAILED_PRECONDITION until ready. Start states whose plan is not finite are skipped and counted; DATA_LOSS
  // when all are.
  virtual absl::StatusOr<PlanningReport> PlanRound(std::span<const float> start_observations,
                                                   int64_t environment_rows) = 0;

  // The simulation that the next Plan starts from, as Environment::SaveState gives it. Needed before each
  // Plan where the true simulator is the model; ignored otherwise. INVALID_ARGUMENT for a state of another
  // task.
  virtual absl::Status SetSimulatorState(absl::string_view state) = 0;

  // One plan for acting; `first_step` forgets the previous plan. Stops improving when `time_budget` would be
  // exceeded: the plan of the iterations that were finished or, if there are none or none is finite, the
  // policy's action with `fallback`; without a policy, the next action of the plan before. The same until
  // ready, but UNAVAILABLE where the budget is infinite, FAILED_PRECONDITION without a policy.
  virtual absl::StatusOr<OnlinePlan> Plan(std::span<const float> observation, bool first_step,
                                          int64_t environment_rows, absl::Duration time_budget) = 0;

  virtual int64_t num_rounds() const = 0;
  virtual uint64_t dynamics_version() const = 0;
  virtual uint64_t policy_version() const = 0;

  // Counters, previous plan and random state; not the snapshots.
  virtual std::string SaveState() const = 0;
  virtual absl::Status RestoreState(absl::string_view state) = 0;
};

}  // namespace demorl
