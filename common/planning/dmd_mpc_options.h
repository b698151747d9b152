#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "common/base/epoch_schedule.h"

namespace demorl {

// How the plan mu~ that an iteration starts from comes about.
enum class ShiftKind { kPolicy, kPreviousPlan, kZero };

// The utility whose mirror step improves a plan; see objectives.h.
enum class ObjectiveKind { kEliteUniform, kEliteReturnWeighted, kEliteCostWeighted, kSoftmax, kNone };

enum class PlanNoiseKind { kWhite, kTruncated, kTimeCorrelated };

enum class TerminalValueKind { kAfterHorizon, kLastSlot, kQ, kNone };

enum class ModelDrawKind { kPerStart, kPerStep, kEliteMean, kParticles, kSimulator };

// Horizon in steps, rounded down, at least 1, after this many rows of D_ENV; an epoch counts when complete.
int HorizonSteps(const EpochSchedule& schedule, int64_t environment_rows);

// Every switch of the inner loop; the defaults are M-DeMoRL. The fields mean what the fields of the same name
// of demorl.config.v1.PlannerConfig say.
struct DmdMpcOptions {
  ShiftKind shift = ShiftKind::kPolicy;
  ObjectiveKind objective = ObjectiveKind::kEliteUniform;
  int population_size = 100;
  double elite_ratio = 0.1;
  EpochSchedule horizon = {.start_epoch = 0, .end_epoch = 40, .start_value = 5, .end_value = 15};
  double step_size = 1.0;
  int num_iterations = 1;
  double mppi_temperature = 1.0;

  PlanNoiseKind noise_kind = PlanNoiseKind::kWhite;
  double noise_stddev = 0.5;
  double noise_beta = 0.7;
  bool shared_noise = false;
  bool refit_stddev = false;
  double refit_smoothing = 0.1;
  bool sampled_policy = false;
  double policy_proposal_ratio = 0;

  TerminalValueKind terminal_value = TerminalValueKind::kAfterHorizon;
  bool discount_terminal_value = true;
  double discount = 0.99;

  ModelDrawKind model_draw = ModelDrawKind::kPerStart;
  int num_particles = 1;
  bool sampled_reward = false;
  bool sampled_next_state = true;
  bool shared_model_draws = true;
  bool mask_terminations = true;

  bool average_noise = false;
  bool noisy_base = false;
  double action_bound = 1.0;
  bool keep_best = false;
  bool closed_loop_rows = false;

  // Rollouts stepped together in one call of the model; bounds the memory of a round.
  int max_rows_per_call = 20000;
};

// INVALID_ARGUMENT naming two switches that contradict each other, or a value that has no meaning.
absl::Status ValidateOptions(const DmdMpcOptions& options);

// What an inner loop with these switches must be given besides a model.
bool NeedsPolicy(const DmdMpcOptions& options);
bool NeedsValue(const DmdMpcOptions& options);

}  // namespace demorl
