#include "services/mpc_rollout/core/rollout_planner.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/env/registry.h"
#include "common/planning/dmd_mpc.h"
#include "common/planning/simulator_model.h"
#include "common/rl/compute_device.h"
#include "common/rl/torch_threads.h"
#include "services/mpc_rollout/core/ensemble_model.h"
#include "services/mpc_rollout/core/planner_options.h"
#include "services/mpc_rollout/core/planner_state.h"
#include "services/mpc_rollout/core/planning_networks.h"

namespace demorl {
namespace {

// Where the exceptions of LibTorch end.
template <typename Function>
auto WithoutExceptions(const Function& function) -> std::invoke_result_t<Function> {
  try {
    return function();
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("planning failed in LibTorch: ", error.what()));
  }
}

// Tells when one more step of the model, as long as the longest so far, would exceed the budget.
class Budget {
 public:
  explicit Budget(absl::Duration budget)
      : end_(RealClock::Get().Now() + budget), last_(RealClock::Get().Now()) {}

  bool Spent() {
    const absl::Duration now = RealClock::Get().Now();
    longest_ = std::max(longest_, now - last_);
    last_ = now;
    return now + longest_ > end_;
  }

 private:
  const absl::Duration end_;
  absl::Duration last_;
  absl::Duration longest_;
};

double MeanOfFinite(std::span<const double> values) {
  double sum = 0;
  int64_t count = 0;
  for (const double value : values) {
    if (std::isfinite(value)) {
      sum += value;
      ++count;
    }
  }
  return count > 0 ? sum / static_cast<double>(count) : 0;
}

// Rows hold normalised actions. Differs: the authors' code stores what it planned within +-1.4, although the
// environment clips it, so that Q and model see actions that no policy can take.
void ClipActions(TransitionChunk* chunk) {
  for (Segment& segment : chunk->segments) {
    for (float& action : segment.actions) {
      action = std::clamp(action, -1.0F, 1.0F);
    }
  }
}

class RolloutPlannerImpl final : public RolloutPlanner {
 public:
  RolloutPlannerImpl(const Options& options, const DmdMpcOptions& planning, std::string device,
                     std::unique_ptr<SimulatorModel> simulator)
      : options_(options),
        planning_(planning),
        device_(std::move(device)),
        simulator_(std::move(simulator)) {}

  absl::Status SetDynamics(const TensorFile& tensors, uint64_t version) override {
    return WithoutExceptions([&]() -> absl::Status {
      ASSIGN_OR_RETURN(ensemble_, MakeEnsembleModel(tensors, options_.observation_size, options_.action_size,
                                                    options_.termination_rule, device_));
      dynamics_version_ = version;
      return absl::OkStatus();
    });
  }

  absl::Status SetPolicy(const TensorFile& tensors, uint64_t version) override {
    return WithoutExceptions([&]() -> absl::Status {
      ASSIGN_OR_RETURN(policy_,
                       MakePolicyNetwork(tensors, options_.observation_size, options_.action_size, device_));
      policy_version_ = version;
      return absl::OkStatus();
    });
  }

  absl::Status SetValue(const TensorFile& tensors, uint64_t /*version*/) override {
    return WithoutExceptions([&]() -> absl::Status {
      ASSIGN_OR_RETURN(value_, MakeValueNetwork(tensors, options_.observation_size, options_.action_size,
                                                device_, [this] { return policy_.get(); }));
      return absl::OkStatus();
    });
  }

  absl::Status SetSimulatorState(absl::string_view state) override {
    if (simulator_ == nullptr) {
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(simulator_->SetStartStates({std::string(state)}));
    has_simulator_state_ = true;
    return absl::OkStatus();
  }

  bool ready() const override {
    return has_model() && (policy_ != nullptr || !needs_policy()) &&
           (value_ != nullptr || !NeedsValue(planning_));
  }

  absl::StatusOr<PlanningReport> PlanRound(std::span<const float> start_observations,
                                           int64_t environment_rows) override {
    if (simulator_ != nullptr) {
      return absl::FailedPreconditionError(
          "planning rounds start from observations, of which the true simulator cannot start");
    }
    if (!ready()) {
      return absl::FailedPreconditionError(MissingParts());
    }
    absl::StatusOr<PlanningReport> report =
        WithoutExceptions([&] { return RunRound(start_observations, environment_rows); });
    return absl::IsDeadlineExceeded(report.status()) ? absl::CancelledError("planning round given up")
                                                     : report;
  }

  absl::StatusOr<OnlinePlan> Plan(std::span<const float> observation, bool first_step,
                                  int64_t environment_rows, absl::Duration time_budget) override {
    if (static_cast<int>(observation.size()) != options_.observation_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("observation of ", observation.size(), " values; want ", options_.observation_size));
    }
    return WithoutExceptions([&] { return RunPlan(observation, first_step, environment_rows, time_budget); });
  }

  int64_t num_rounds() const override { return num_rounds_; }
  uint64_t dynamics_version() const override { return dynamics_version_; }
  uint64_t policy_version() const override { return policy_version_; }

  std::string SaveState() const override {
    return EncodePlannerState(
        {.num_rounds = num_rounds_, .num_plans = num_plans_, .previous_plan = previous_plan_});
  }

  absl::Status RestoreState(absl::string_view state) override {
    ASSIGN_OR_RETURN(PlannerState decoded, DecodePlannerState(state));
    if (decoded.previous_plan.size() % options_.action_size != 0) {
      return absl::InvalidArgumentError(absl::StrCat("planner state holds a plan of ",
                                                     decoded.previous_plan.size(),
                                                     " values; want a multiple of ", options_.action_size));
    }
    num_rounds_ = decoded.num_rounds;
    num_plans_ = decoded.num_plans;
    previous_plan_ = std::move(decoded.previous_plan);
    return absl::OkStatus();
  }

 private:
  bool has_model() const { return simulator_ != nullptr ? has_simulator_state_ : ensemble_ != nullptr; }
  // A value without its own network takes the policy's action.
  bool needs_policy() const { return NeedsPolicy(planning_) || NeedsValue(planning_); }

  PlanningParts Parts() const {
    DynamicsModel* const model = simulator_ != nullptr ? simulator_.get() : ensemble_.get();
    return {.model = model, .policy = policy_.get(), .value = value_.get()};
  }

  std::string MissingParts() const {
    const auto state = [](bool is_here, bool is_needed) {
      return is_here ? "here" : is_needed ? "missing" : "not needed";
    };
    return absl::StrCat(
        "the planner is not ready: ", simulator_ != nullptr ? "simulator state " : "dynamics ",
        state(has_model(), true), ", policy ", state(policy_ != nullptr, needs_policy()), ", value ",
        state(value_ != nullptr, NeedsValue(planning_)));
  }

  PlanningTask MakeTask(std::span<const float> starts, int64_t environment_rows, absl::string_view name,
                        int64_t number) const {
    return {.horizon_steps = HorizonSteps(planning_.horizon, environment_rows),
            .start_observations = starts,
            .seed = SplitSeed(options_.seed, name, number),
            .shared_noise_seed = SplitSeed(options_.seed, "epoch", environment_rows / kRowsPerEpoch)};
  }

  absl::StatusOr<PlanningReport> RunRound(std::span<const float> starts, int64_t environment_rows) {
    ASSIGN_OR_RETURN(const auto planner, DmdMpc::Create(planning_, Parts()));
    PlanningTask task = MakeTask(starts, environment_rows, "round", num_rounds_);
    task.out_of_time = options_.cancelled;
    const PlannedRowLabels labels{.dynamics_version = dynamics_version_,
                                  .policy_version = policy_version_,
                                  .planning_round = options_.first_planning_round + num_rounds_};
    ASSIGN_OR_RETURN(const ImprovedPlans improved, planner->Improve(task));
    ASSIGN_OR_RETURN(PlannedRows rows, planner->Roll(task, improved, labels));
    ++num_rounds_;
    if (rows.chunk.segments.empty()) {
      return absl::DataLossError(absl::StrCat("no plan of ", rows.plan_returns.size(),
                                              " start states is finite (", "dynamics ", dynamics_version_,
                                              ", policy ", policy_version_, ")"));
    }
    PlanningReport report;
    report.horizon_steps = task.horizon_steps;
    report.plan_return = MeanOfFinite(rows.plan_returns);
    report.base_return =
        planning_.closed_loop_rows ? report.plan_return : MeanOfFinite(improved.base_returns);
    report.skipped_starts = rows.skipped_starts;
    report.rows = std::move(rows.chunk);
    ClipActions(&report.rows);
    return report;
  }

  absl::StatusOr<OnlinePlan> RunPlan(std::span<const float> observation, bool first_step,
                                     int64_t environment_rows, absl::Duration time_budget) {
    if (first_step) {
      previous_plan_.clear();
    }
    const int64_t number = num_plans_++;
    if (!ready() && time_budget == absl::InfiniteDuration()) {
      return absl::UnavailableError(MissingParts());
    }
    if (!ready() || planning_.closed_loop_rows) {
      return Fallback(observation);
    }
    Budget budget(time_budget);
    PlanningTask task = MakeTask(observation, environment_rows, "plan", number);
    task.previous_plans = previous_plan_;
    task.out_of_time = [&budget] { return budget.Spent(); };
    ASSIGN_OR_RETURN(const auto planner, DmdMpc::Create(planning_, Parts()));
    absl::StatusOr<ImprovedPlans> improved = planner->Improve(task);
    if (absl::IsDeadlineExceeded(improved.status()) || (improved.ok() && !improved->valid[0])) {
      return Fallback(observation);
    }
    RETURN_IF_ERROR(improved.status());
    OnlinePlan plan{.actions = improved->plans, .horizon_steps = task.horizon_steps};
    ASSIGN_OR_RETURN(plan.predicted_return, PredictedReturn(*planner, task, *improved));
    previous_plan_ = std::move(improved->plans);
    return plan;
  }

  // Of the improved plan; of the plan before, when there is no time left to run it.
  static absl::StatusOr<double> PredictedReturn(const DmdMpc& planner, const PlanningTask& task,
                                                const ImprovedPlans& improved) {
    const absl::StatusOr<PlannedRows> rows = planner.Roll(task, improved, {});
    if (rows.ok() && std::isfinite(rows->plan_returns[0])) {
      return rows->plan_returns[0];
    }
    if (!rows.ok() && !absl::IsDeadlineExceeded(rows.status())) {
      return rows.status();
    }
    return std::isfinite(improved.base_returns[0]) ? improved.base_returns[0] : 0;
  }

  // The policy's action; where no policy is planned with, what the plan of before meant for this step, or
  // nothing.
  absl::StatusOr<OnlinePlan> Fallback(std::span<const float> observation) {
    if (policy_ == nullptr && !ready()) {
      return absl::FailedPreconditionError(absl::StrCat("nothing to fall back on: ", MissingParts()));
    }
    const size_t action_size = options_.action_size;
    const bool has_next = previous_plan_.size() > action_size;
    if (has_next) {  // the plan of before stays in step with time
      previous_plan_.erase(previous_plan_.begin(),
                           previous_plan_.begin() + static_cast<ptrdiff_t>(action_size));
    }
    OnlinePlan plan{.actions = std::vector<float>(action_size), .horizon_steps = 1, .fallback = true};
    if (policy_ == nullptr) {
      if (has_next) {
        std::copy_n(previous_plan_.begin(), action_size, plan.actions.begin());
      }
      return plan;
    }
    RETURN_IF_ERROR(policy_->Mean(observation, &plan.actions));
    if (!std::all_of(plan.actions.begin(), plan.actions.end(), [](float a) { return std::isfinite(a); })) {
      return absl::DataLossError("the policy's action is not finite");
    }
    return plan;
  }

  const Options options_;
  const DmdMpcOptions planning_;
  const std::string device_;
  const std::unique_ptr<SimulatorModel> simulator_;
  bool has_simulator_state_ = false;
  std::unique_ptr<DynamicsModel> ensemble_;
  std::unique_ptr<PolicyFunction> policy_;
  std::unique_ptr<ValueFunction> value_;
  uint64_t dynamics_version_ = 0;
  uint64_t policy_version_ = 0;
  int64_t num_rounds_ = 0;
  int64_t num_plans_ = 0;
  std::vector<float> previous_plan_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RolloutPlanner>> RolloutPlanner::Create(const Options& options) {
  if (options.observation_size < 1 || options.action_size < 1) {
    return absl::InvalidArgumentError(absl::StrCat("observations of ", options.observation_size,
                                                   " and actions of ", options.action_size,
                                                   " values; want at least 1"));
  }
  ASSIGN_OR_RETURN(const DmdMpcOptions planning, MakeDmdMpcOptions(options.config, options.discount));
  ASSIGN_OR_RETURN(ComputeDevice device, ChooseDevice(options.device));
  SetTorchThreads(options.config.num_threads());
  std::unique_ptr<SimulatorModel> simulator;
  if (planning.model_draw == ModelDrawKind::kSimulator) {
    ASSIGN_OR_RETURN(std::unique_ptr<Environment> environment,
                     MakeEnvironment(options.environment_id, SplitSeed(options.seed, "simulator")));
    simulator = std::make_unique<SimulatorModel>(std::move(environment));
  }
  return std::make_unique<RolloutPlannerImpl>(options, planning, std::move(device.name),
                                              std::move(simulator));
}

}  // namespace demorl
