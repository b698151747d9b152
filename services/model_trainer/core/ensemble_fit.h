#pragma once

// One training of the ensemble: holdout, bootstrap, passes until nothing improves, best weights. Source: MBPO
// [Janner et al. 2019] with its published code's settings.

#include <cstdint>
#include <functional>
#include <vector>

#include "ATen/ATen.h"
#include "absl/status/statusor.h"
#include "common/base/random.h"
#include "common/rl/gaussian_ensemble.h"
#include "services/model_trainer/core/training_report.h"

namespace demorl {

struct FitOptions {
  int batch_size = 256;
  double holdout_ratio = 0.2;
  int max_holdout_rows = 5000;
  // Training stops after more than so many passes in which no member improved its holdout error, relatively,
  // by more than min_improvement.
  int patience = 5;
  // ... and so many steps of the optimiser, because a pass over few rows has few.
  int patience_steps = 100;
  double min_improvement = 0.01;
  int max_passes = 0;  // 0 for no limit
  int num_elite_members = 5;
  uint64_t seed = 0;
  // Which rows are held out; the same for all trainings of a run.
  uint64_t holdout_seed = 0;
  // Number of the first row among all that the run has had.
  int64_t first_row = 0;
  // Asked between batches; true gives up. May be empty.
  std::function<bool()> should_stop;
};

// A random split of rows 0 .. num_rows - 1 (2 or more); neither part is empty. Differs: the published code
// draws a new split for every training. Here a row that was held out stays so, or else it is among the older
// ones of too many: a holdout that a warm start was trained on shows no overfitting, and new rows seem to
// make the model worse.
struct RowSplit {
  std::vector<int64_t> holdout;
  std::vector<int64_t> training;
};
RowSplit SplitRows(int64_t num_rows, const FitOptions& options);

// Per member as many rows as `training` has, drawn from it with replacement.
std::vector<std::vector<int64_t>> BootstrapRows(const std::vector<int64_t>& training, int64_t num_members,
                                                Random& random);

struct FitResult {
  TrainingReport report;
  // Holdout error per pass and member, after the one before the first pass.
  std::vector<std::vector<double>> history;
};

// Trains on inputs [N, I], which are normalised here, and targets [N, D], both on the CPU. Each member ends
// with the weights of the pass in which its holdout error was least, or with those it had before. Differs:
// the published code takes new best weights only where they are better by over 1 %, and keeps the optimiser's
// moments between trainings; after one that ended with confident predictions, rows of a new policy then throw
// the weights far away. DATA_LOSS for a loss that is not finite, CANCELLED when stopped: the ensemble is as
// before then.
absl::StatusOr<FitResult> FitEnsemble(const at::Tensor& inputs_NI, const at::Tensor& targets_ND,
                                      const FitOptions& options, GaussianEnsemble* ensemble);

}  // namespace demorl
