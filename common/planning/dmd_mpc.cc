#include "common/planning/dmd_mpc.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/planning/candidates.h"
#include "common/planning/objectives.h"
#include "common/planning/plan_rows.h"

namespace demorl {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

// A run of start states that are planned for together, and their plans so far. S start states of the block.
class BlockPlanner {
 public:
  BlockPlanner(const DmdMpcOptions& options, const PlanningParts& parts, const PlanningTask& task,
               int first_start, int num_starts)
      : options_(options),
        task_(task),
        sampler_(options, parts, task, first_start, num_starts),
        first_start_(first_start),
        num_starts_(num_starts),
        plan_size_(task.horizon_steps * parts.model->action_size()),
        valid_(num_starts, 1),
        best_returns_(num_starts, kMinusInfinity) {}

  // Runs the iterations and writes the block's part of `improved`.
  absl::Status Improve(ImprovedPlans* improved) {
    int finished = 0;
    absl::Status status;
    for (; finished < options_.num_iterations; ++finished) {
      status = Iterate(finished, improved);
      if (!status.ok()) {
        break;
      }
    }
    if (!status.ok() && !(absl::IsDeadlineExceeded(status) && finished > 0)) {
      return status;
    }
    improved->num_iterations = std::min(improved->num_iterations, finished);
    std::copy(plans_.begin(), plans_.end(),
              improved->plans.begin() + static_cast<ptrdiff_t>(first_start_) * plan_size_);
    std::copy(valid_.begin(), valid_.end(), improved->valid.begin() + first_start_);
    return absl::OkStatus();
  }

 private:
  absl::Status Iterate(int iteration, ImprovedPlans* improved) {
    ASSIGN_OR_RETURN(const Candidates candidates, sampler_.Sample(iteration, plans_));
    plans_.resize(static_cast<size_t>(num_starts_) * plan_size_);
    for (int s = 0; s < num_starts_; ++s) {
      if (iteration == 0) {
        improved->base_returns[first_start_ + s] = candidates.ReturnsOf(s).front();
      }
      ImprovePlan(s, candidates);
    }
    return absl::OkStatus();
  }

  // The mirror step of one start state (eqs. 9 and 13).
  void ImprovePlan(int start, const Candidates& candidates) {
    const std::vector<double> weights = ObjectiveWeights(options_, candidates.ReturnsOf(start));
    const std::span<float> plan = PlanOf(start);
    if (weights.empty()) {
      valid_[start] = 0;
      std::fill(plan.begin(), plan.end(), 0.0F);
      return;
    }
    const std::vector<double> mean = WeightedMean(start, candidates, weights);
    if (options_.refit_stddev) {
      sampler_.RefitStddev(start, candidates, weights, mean);
    }
    const auto bound = static_cast<float>(options_.action_bound);
    const std::span<const float> base = candidates.ActionsOf(start, 0);
    bool finite = true;
    for (int i = 0; i < plan_size_; ++i) {
      const double value = base[i] + options_.step_size * (mean[i] - base[i]);
      finite = finite && std::isfinite(value);
      plan[i] = std::clamp(static_cast<float>(value), -bound, bound);
    }
    valid_[start] = finite;
    if (options_.keep_best) {
      KeepBest(start, candidates);
    }
  }

  // g: of actions, or the base plus the mean of the noise as it was before actions were clipped.
  std::vector<double> WeightedMean(int start, const Candidates& candidates,
                                   const std::vector<double>& weights) const {
    std::vector<double> mean(plan_size_, 0.0);
    for (size_t m = 0; m < weights.size(); ++m) {
      if (weights[m] == 0) {
        continue;
      }
      const std::span<const float> sample =
          options_.average_noise ? candidates.NoiseOf(start, m) : candidates.ActionsOf(start, m);
      for (int i = 0; i < plan_size_; ++i) {
        mean[i] += weights[m] * sample[i];
      }
    }
    if (options_.average_noise) {
      const std::span<const float> base = candidates.ActionsOf(start, 0);
      std::transform(mean.begin(), mean.end(), base.begin(), mean.begin(), std::plus<>());
    }
    return mean;
  }

  // The best candidate of all iterations is the plan that the next one samples around (TOPDM).
  void KeepBest(int start, const Candidates& candidates) {
    best_plans_.resize(plans_.size());
    const std::span<const double> returns = candidates.ReturnsOf(start);
    const auto best = std::max_element(returns.begin(), returns.end()) - returns.begin();
    float* const kept = &best_plans_[static_cast<size_t>(start) * plan_size_];
    if (returns[best] > best_returns_[start]) {
      best_returns_[start] = returns[best];
      std::copy_n(candidates.ActionsOf(start, best).begin(), plan_size_, kept);
    }
    std::copy_n(kept, plan_size_, PlanOf(start).begin());
  }

  std::span<float> PlanOf(int start) {
    return {&plans_[static_cast<size_t>(start) * plan_size_], size_t(plan_size_)};
  }

  const DmdMpcOptions& options_;
  const PlanningTask& task_;
  CandidateSampler sampler_;
  const int first_start_;
  const int num_starts_;
  const int plan_size_;         // H A
  std::vector<float> plans_;    // [S, H, A]; empty before the first iteration
  std::vector<uint8_t> valid_;  // [S]
  std::vector<double> best_returns_;
  std::vector<float> best_plans_;
};

int NumStarts(const PlanningTask& task, int observation_size) {
  return static_cast<int>(task.start_observations.size()) / observation_size;
}

absl::Status CheckTask(const PlanningTask& task, int observation_size, int action_size) {
  if (task.horizon_steps < 1 || task.start_observations.empty() ||
      task.start_observations.size() % observation_size != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("planning from ", task.start_observations.size(), " values over ", task.horizon_steps,
                     " steps; want whole observations of ", observation_size, " values and at least 1 step"));
  }
  const size_t plan_row = static_cast<size_t>(NumStarts(task, observation_size)) * action_size;
  if (task.previous_plans.size() % plan_row != 0) {
    return absl::InvalidArgumentError(absl::StrCat("previous plans hold ", task.previous_plans.size(),
                                                   " values; want a multiple of ", plan_row));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<DmdMpc>> DmdMpc::Create(const DmdMpcOptions& options,
                                                       const PlanningParts& parts) {
  RETURN_IF_ERROR(ValidateOptions(options));
  if (parts.model == nullptr || (NeedsPolicy(options) && parts.policy == nullptr) ||
      (NeedsValue(options) && parts.value == nullptr)) {
    return absl::FailedPreconditionError(
        absl::StrCat("the planner needs a model", NeedsPolicy(options) ? ", a policy" : "",
                     NeedsValue(options) ? ", a terminal value" : "", "; found",
                     parts.model == nullptr ? " no" : " a", " model,", parts.policy == nullptr ? " no" : " a",
                     " policy,", parts.value == nullptr ? " no" : " a", " value"));
  }
  return std::unique_ptr<DmdMpc>(new DmdMpc(options, parts));
}

absl::StatusOr<ImprovedPlans> DmdMpc::Improve(const PlanningTask& task) const {
  const int observation_size = parts_.model->observation_size();
  RETURN_IF_ERROR(CheckTask(task, observation_size, parts_.model->action_size()));
  const int num_starts = NumStarts(task, observation_size);
  ImprovedPlans improved;
  improved.plans.assign(static_cast<size_t>(num_starts) * task.horizon_steps * parts_.model->action_size(),
                        0.0F);
  improved.base_returns.assign(num_starts, kMinusInfinity);
  improved.valid.assign(num_starts, 1);
  improved.num_iterations = options_.num_iterations;
  if (options_.closed_loop_rows) {
    return improved;  // the rows do not follow a plan
  }
  const int block = std::max(1, options_.max_rows_per_call / RowsPerStart(options_, *parts_.model));
  for (int first = 0; first < num_starts; first += block) {
    BlockPlanner planner(options_, parts_, task, first, std::min(block, num_starts - first));
    RETURN_IF_ERROR(planner.Improve(&improved));
  }
  return improved;
}

absl::StatusOr<PlannedRows> DmdMpc::Roll(const PlanningTask& task, const ImprovedPlans& plans,
                                         const PlannedRowLabels& labels) const {
  const int observation_size = parts_.model->observation_size();
  RETURN_IF_ERROR(CheckTask(task, observation_size, parts_.model->action_size()));
  const int num_starts = NumStarts(task, observation_size);
  PlannedRows rows;
  rows.chunk.observation_size = observation_size;
  rows.chunk.action_size = parts_.model->action_size();
  rows.plan_returns.assign(num_starts, kMinusInfinity);
  for (int first = 0; first < num_starts; first += options_.max_rows_per_call) {
    const int count = std::min(options_.max_rows_per_call, num_starts - first);
    RETURN_IF_ERROR(RollPlans(options_, parts_, task, plans, labels, first, count, &rows));
  }
  return rows;
}

}  // namespace demorl
