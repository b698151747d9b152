#include "common/planning/dmd_mpc_options.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

absl::Status ValidateNumbers(const DmdMpcOptions& o) {
  if (o.population_size < 1 || o.num_iterations < 1 || o.num_particles < 1 || o.max_rows_per_call < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("planner: population_size = ", o.population_size,
                     ", num_iterations = ", o.num_iterations, ", num_particles = ", o.num_particles,
                     ", max_rows_per_call = ", o.max_rows_per_call, "; each must be at least 1"));
  }
  if (!(o.elite_ratio > 0 && o.elite_ratio <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("planner.elite_ratio = ", o.elite_ratio, "; want above 0 and at most 1"));
  }
  if (!(o.mppi_temperature > 0) || !(o.action_bound > 0) || !(o.noise_stddev >= 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("planner: mppi_temperature = ", o.mppi_temperature, ", action_bound = ", o.action_bound,
                     ", noise_stddev = ", o.noise_stddev, "; want above 0, above 0 and not negative"));
  }
  const double shares[] = {o.step_size, o.noise_beta, o.policy_proposal_ratio, o.refit_smoothing, o.discount};
  const char* names[] = {"step_size", "noise_beta", "policy_proposal_ratio", "refit_smoothing", "discount"};
  for (int i = 0; i < 5; ++i) {
    if (!(shares[i] >= 0 && shares[i] <= 1)) {
      return absl::InvalidArgumentError(
          absl::StrCat("planner.", names[i], " = ", shares[i], "; want 0 to 1"));
    }
  }
  return absl::OkStatus();
}

absl::Status ValidateHorizon(const DmdMpcOptions& o) {
  const EpochSchedule& h = o.horizon;
  if (!(h.start_epoch >= 0) || !(h.end_epoch >= h.start_epoch)) {
    return absl::InvalidArgumentError(absl::StrCat("planner.horizon runs from epoch ", h.start_epoch, " to ",
                                                   h.end_epoch, "; want start_epoch <= end_epoch"));
  }
  // Only H - 1 rewards count where the last slot holds a value: with H = 1 all samples would score the same.
  const bool last_slot =
      o.objective != ObjectiveKind::kNone && o.terminal_value == TerminalValueKind::kLastSlot;
  const double least = last_slot ? 2 : 1;
  if (!(std::min(h.start_value, h.end_value) >= least) || std::max(h.start_value, h.end_value) > 1000) {
    return absl::InvalidArgumentError(absl::StrCat("planner.horizon goes from ", h.start_value, " to ",
                                                   h.end_value, " steps; want ", least, " to 1000"));
  }
  return absl::OkStatus();
}

absl::Status ValidateCombinations(const DmdMpcOptions& o) {
  if (o.objective == ObjectiveKind::kNone && o.keep_best) {
    return absl::InvalidArgumentError(
        "planner: keep_best needs an objective that samples candidates; objective is none");
  }
  if (o.closed_loop_rows && o.objective != ObjectiveKind::kNone) {
    return absl::InvalidArgumentError(
        "planner: closed_loop_rows throws an improved plan away; want objective none with it");
  }
  if (o.average_noise && o.refit_stddev) {
    return absl::InvalidArgumentError(
        "planner: refit_stddev fits the spread of actions; want plan_averaging over actions with it");
  }
  if (o.average_noise && o.policy_proposal_ratio > 0) {
    return absl::InvalidArgumentError(
        "planner: policy proposals carry no noise to average; want policy_proposal_ratio = 0 or "
        "plan_averaging "
        "over actions");
  }
  const bool simulator = o.model_draw == ModelDrawKind::kSimulator;
  if (simulator && !o.mask_terminations) {
    return absl::InvalidArgumentError(
        "planner: the true simulator cannot step past a termination; want termination_mode masked with "
        "model_draw simulator");
  }
  const bool particles =
      o.model_draw == ModelDrawKind::kParticles || o.model_draw == ModelDrawKind::kEliteMean;
  if (!particles && o.num_particles > 1) {
    return absl::InvalidArgumentError(absl::StrCat("planner.num_particles = ", o.num_particles,
                                                   "; want 1 unless model_draw is elite mean or particles"));
  }
  return absl::OkStatus();
}

}  // namespace

int HorizonSteps(const EpochSchedule& schedule, int64_t environment_rows) {
  const double steps = schedule.At(static_cast<double>(environment_rows / kRowsPerEpoch));
  // The interpolation of a whole number may fall short of it by a rounding error.
  return std::max(1, static_cast<int>(std::floor(steps + 1e-9)));
}

absl::Status ValidateOptions(const DmdMpcOptions& options) {
  RETURN_IF_ERROR(ValidateNumbers(options));
  RETURN_IF_ERROR(ValidateHorizon(options));
  return ValidateCombinations(options);
}

bool NeedsPolicy(const DmdMpcOptions& options) {
  return options.shift == ShiftKind::kPolicy || options.policy_proposal_ratio > 0 || options.closed_loop_rows;
}

bool NeedsValue(const DmdMpcOptions& options) {
  return options.objective != ObjectiveKind::kNone && options.terminal_value != TerminalValueKind::kNone;
}

}  // namespace demorl
