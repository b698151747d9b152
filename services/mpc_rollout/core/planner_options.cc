#include "services/mpc_rollout/core/planner_options.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/config/schedule.h"

namespace demorl {
namespace {

using namespace ::demorl::config::v1;  // NOLINT: the enum values below, of this file alone

absl::Status Unspecified(absl::string_view field) {
  return absl::InvalidArgumentError(
      absl::StrCat("planner.", field, " is unspecified; want one of its values"));
}

absl::Status SetShift(ShiftModel shift, DmdMpcOptions* options) {
  switch (shift) {
    case SHIFT_MODEL_POLICY:
      options->shift = ShiftKind::kPolicy;
      return absl::OkStatus();
    case SHIFT_MODEL_PREVIOUS_PLAN:
      options->shift = ShiftKind::kPreviousPlan;
      return absl::OkStatus();
    case SHIFT_MODEL_ZERO:
      options->shift = ShiftKind::kZero;
      return absl::OkStatus();
    case SHIFT_MODEL_UNSPECIFIED:
      break;
  }
  return Unspecified("shift_model");
}

absl::Status SetObjective(Objective objective, DmdMpcOptions* options) {
  switch (objective) {
    case OBJECTIVE_ELITE_UNIFORM:
      options->objective = ObjectiveKind::kEliteUniform;
      return absl::OkStatus();
    case OBJECTIVE_ELITE_RETURN_WEIGHTED:
      options->objective = ObjectiveKind::kEliteReturnWeighted;
      return absl::OkStatus();
    case OBJECTIVE_ELITE_COST_WEIGHTED:
      options->objective = ObjectiveKind::kEliteCostWeighted;
      return absl::OkStatus();
    case OBJECTIVE_SOFTMAX:
      options->objective = ObjectiveKind::kSoftmax;
      return absl::OkStatus();
    case OBJECTIVE_NONE:
      options->objective = ObjectiveKind::kNone;
      return absl::OkStatus();
    case OBJECTIVE_UNSPECIFIED:
      break;
  }
  return Unspecified("objective");
}

absl::Status SetNoise(NoiseKind kind, DmdMpcOptions* options) {
  switch (kind) {
    case NOISE_KIND_WHITE:
      options->noise_kind = PlanNoiseKind::kWhite;
      return absl::OkStatus();
    case NOISE_KIND_TRUNCATED:
      options->noise_kind = PlanNoiseKind::kTruncated;
      return absl::OkStatus();
    case NOISE_KIND_TIME_CORRELATED:
      options->noise_kind = PlanNoiseKind::kTimeCorrelated;
      return absl::OkStatus();
    case NOISE_KIND_UNSPECIFIED:
      break;
  }
  return Unspecified("noise_kind");
}

absl::Status SetTerminalValue(TerminalValue value, DmdMpcOptions* options) {
  switch (value) {
    case TERMINAL_VALUE_AFTER_HORIZON:
      options->terminal_value = TerminalValueKind::kAfterHorizon;
      return absl::OkStatus();
    case TERMINAL_VALUE_LAST_SLOT:
      options->terminal_value = TerminalValueKind::kLastSlot;
      return absl::OkStatus();
    case TERMINAL_VALUE_Q:
      options->terminal_value = TerminalValueKind::kQ;
      return absl::OkStatus();
    case TERMINAL_VALUE_NONE:
      options->terminal_value = TerminalValueKind::kNone;
      return absl::OkStatus();
    case TERMINAL_VALUE_UNSPECIFIED:
      break;
  }
  return Unspecified("terminal_value");
}

absl::Status SetModelDraw(ModelDraw draw, DmdMpcOptions* options) {
  switch (draw) {
    case MODEL_DRAW_PER_START:
      options->model_draw = ModelDrawKind::kPerStart;
      return absl::OkStatus();
    case MODEL_DRAW_PER_STEP:
      options->model_draw = ModelDrawKind::kPerStep;
      return absl::OkStatus();
    case MODEL_DRAW_ELITE_MEAN:
      options->model_draw = ModelDrawKind::kEliteMean;
      return absl::OkStatus();
    case MODEL_DRAW_PARTICLES:
      options->model_draw = ModelDrawKind::kParticles;
      return absl::OkStatus();
    case MODEL_DRAW_SIMULATOR:
      options->model_draw = ModelDrawKind::kSimulator;
      return absl::OkStatus();
    case MODEL_DRAW_UNSPECIFIED:
      break;
  }
  return Unspecified("model_draw");
}

absl::Status SetKinds(const PlannerConfig& config, DmdMpcOptions* options) {
  RETURN_IF_ERROR(SetShift(config.shift_model(), options));
  RETURN_IF_ERROR(SetObjective(config.objective(), options));
  RETURN_IF_ERROR(SetNoise(config.noise_kind(), options));
  RETURN_IF_ERROR(SetTerminalValue(config.terminal_value(), options));
  RETURN_IF_ERROR(SetModelDraw(config.model_draw(), options));
  if (config.termination_mode() == TERMINATION_MODE_UNSPECIFIED) {
    return Unspecified("termination_mode");
  }
  options->mask_terminations = config.termination_mode() == TERMINATION_MODE_MASKED;
  if (config.plan_averaging() == PLAN_AVERAGING_UNSPECIFIED) {
    return Unspecified("plan_averaging");
  }
  options->average_noise = config.plan_averaging() == PLAN_AVERAGING_NOISE;
  return absl::OkStatus();
}

// An own horizon replaces the default as a whole, so that one of its ends cannot keep a default of the other.
void SetHorizon(const PlannerConfig& config, DmdMpcOptions* options) {
  if (config.has_horizon()) {
    options->horizon = MakeEpochSchedule(config.horizon());
  }
}

absl::Status CheckSink(const PlannerConfig& config) {
  if (config.sink() == PLAN_SINK_UNSPECIFIED) {
    return Unspecified("sink");
  }
  if (config.model_draw() == MODEL_DRAW_SIMULATOR && config.sink() != PLAN_SINK_ACT) {
    return absl::InvalidArgumentError(
        "planner.sink fills D_MPC from the observations of D_ENV, of which the true simulator cannot start; "
        "want sink "
        "act with model_draw simulator");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DmdMpcOptions> MakeDmdMpcOptions(const PlannerConfig& config, double learner_discount) {
  DmdMpcOptions options{
      .population_size = config.population_size(),
      .elite_ratio = config.elite_ratio(),
      .step_size = config.step_size(),
      .num_iterations = config.num_iterations(),
      .mppi_temperature = config.mppi_temperature(),
      .noise_stddev = config.noise_stddev(),
      .noise_beta = config.noise_beta(),
      .shared_noise = config.shared_noise(),
      .refit_stddev = config.refit_stddev(),
      .refit_smoothing = config.refit_smoothing(),
      .sampled_policy = config.sampled_policy(),
      .policy_proposal_ratio = config.policy_proposal_ratio(),
      .discount_terminal_value = config.discount_terminal_value(),
      .discount = config.has_discount() ? config.discount() : learner_discount,
      .num_particles = config.num_particles(),
      .sampled_reward = config.sampled_reward(),
      .sampled_next_state = config.sampled_next_state(),
      .shared_model_draws = config.shared_model_draws(),
      .noisy_base = config.noisy_base(),
      .action_bound = config.action_bound(),
      .keep_best = config.keep_best(),
      .closed_loop_rows = config.closed_loop_rows(),
  };
  RETURN_IF_ERROR(SetKinds(config, &options));
  SetHorizon(config, &options);
  RETURN_IF_ERROR(CheckSink(config));
  RETURN_IF_ERROR(ValidateOptions(options));
  return options;
}

}  // namespace demorl
