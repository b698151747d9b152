#include "services/model_trainer/core/ensemble_fit.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/rl/tensor_convert.h"

namespace demorl {
namespace {

void Shuffle(std::vector<int64_t>* rows, Random& random) {
  for (size_t i = rows->size(); i > 1; --i) {
    std::swap((*rows)[i - 1], (*rows)[random.Index(i)]);
  }
}

void MoveLast(std::vector<int64_t>* from, std::vector<int64_t>* to) {
  to->push_back(from->back());
  from->pop_back();
}

// The least holdout error of one member and the weights that had it.
struct Best {
  double error = std::numeric_limits<double>::infinity();
  // The error that an improvement is measured from.
  double reference = std::numeric_limits<double>::infinity();
  std::vector<at::Tensor> weights;
};

class Fit {
 public:
  Fit(const at::Tensor& inputs_NI, const at::Tensor& targets_ND, const FitOptions& options,
      GaussianEnsemble* ensemble)
      : options_(options), ensemble_(*ensemble), random_(SplitSeed(options.seed, "bootstrap")) {
    const RowSplit split = SplitRows(inputs_NI.size(0), options);
    const at::Device device = ensemble->device();
    const auto pick = [&](const at::Tensor& columns, const std::vector<int64_t>& rows) {
      return columns.index_select(0, ToTensor(rows, {static_cast<int64_t>(rows.size())})).to(device);
    };
    const at::Tensor training_inputs = pick(inputs_NI, split.training);
    const at::Tensor training_targets = pick(targets_ND, split.training);
    ensemble_.FitNormaliser(training_inputs, training_targets);
    training_inputs_ = ensemble_.Normalise(training_inputs);
    training_targets_ = ensemble_.NormaliseTargets(training_targets);
    holdout_inputs_ = ensemble_.Normalise(pick(inputs_NI, split.holdout));
    holdout_targets_ = ensemble_.NormaliseTargets(pick(targets_ND, split.holdout));
    std::vector<int64_t> all(split.training.size());
    std::iota(all.begin(), all.end(), 0);
    bootstrap_ = BootstrapRows(all, ensemble_.options().num_members, random_);
    best_.resize(bootstrap_.size());
    result_.report.rows = inputs_NI.size(0);
    result_.report.holdout_rows = static_cast<int64_t>(split.holdout.size());
  }

  absl::StatusOr<FitResult> Run() {
    ensemble_.ResetOptimiser();
    RETURN_IF_ERROR(Judge().status());
    int unimproved = 0;
    int64_t improved_at_step = 0;
    while (unimproved <= options_.patience ||
           result_.report.gradient_steps - improved_at_step < options_.patience_steps) {
      RETURN_IF_ERROR(Pass());
      ASSIGN_OR_RETURN(const bool improved, Judge());
      unimproved = improved ? 0 : unimproved + 1;
      improved_at_step = improved ? result_.report.gradient_steps : improved_at_step;
      if (++result_.report.passes == options_.max_passes) {
        break;
      }
    }
    Finish();
    return std::move(result_);
  }

 private:
  absl::Status Pass() {
    for (std::vector<int64_t>& rows : bootstrap_) {
      Shuffle(&rows, random_);
    }
    const int64_t rows = static_cast<int64_t>(bootstrap_[0].size());
    double losses = 0;
    int64_t batches = 0;
    for (int64_t begin = 0; begin < rows; begin += options_.batch_size, ++batches) {
      if (options_.should_stop && options_.should_stop()) {
        return absl::CancelledError("training was stopped");
      }
      const double loss =
          ensemble_.TrainStep(training_inputs_, training_targets_,
                              BatchRows(begin, std::min<int64_t>(options_.batch_size, rows - begin)));
      if (!std::isfinite(loss)) {
        return absl::DataLossError(absl::StrCat("training loss is ", loss, " in batch ", batches, " of pass ",
                                                result_.report.passes, ", must be finite"));
      }
      losses += loss;
    }
    result_.report.gradient_steps += batches;
    result_.report.training_loss = losses / static_cast<double>(batches);
    return absl::OkStatus();
  }

  at::Tensor BatchRows(int64_t begin, int64_t count) {
    batch_.clear();
    for (const std::vector<int64_t>& rows : bootstrap_) {
      batch_.insert(batch_.end(), rows.begin() + begin, rows.begin() + begin + count);
    }
    return ToTensor(batch_, {static_cast<int64_t>(bootstrap_.size()), count}, ensemble_.device());
  }

  // Takes the holdout errors; whether a member improved.
  absl::StatusOr<bool> Judge() {
    const std::vector<double> errors = ensemble_.MeanSquaredErrors(holdout_inputs_, holdout_targets_);
    bool improved = false;
    for (size_t member = 0; member < errors.size(); ++member) {
      const double error = errors[member];
      if (!std::isfinite(error)) {
        return absl::DataLossError(
            absl::StrCat("holdout error of member ", member, " is ", error, ", must be finite"));
      }
      Best& best = best_[member];
      if (error < best.error) {
        best.error = error;
        best.weights = ensemble_.CopyMember(static_cast<int64_t>(member));
      }
      if (std::isinf(best.reference) || best.reference - error > options_.min_improvement * best.reference) {
        best.reference = error;
        improved = true;
      }
    }
    result_.history.push_back(errors);
    return improved;
  }

  void Finish() {
    TrainingReport& report = result_.report;
    for (size_t member = 0; member < best_.size(); ++member) {
      ensemble_.SetMember(static_cast<int64_t>(member), best_[member].weights);
      report.holdout_errors.push_back(best_[member].error);
    }
    report.elite_members.resize(best_.size());
    std::iota(report.elite_members.begin(), report.elite_members.end(), 0);
    std::stable_sort(report.elite_members.begin(), report.elite_members.end(),
                     [&](int a, int b) { return best_[a].error < best_[b].error; });
    report.elite_members.resize(
        std::min<size_t>(report.elite_members.size(), static_cast<size_t>(options_.num_elite_members)));
  }

  const FitOptions& options_;
  GaussianEnsemble& ensemble_;
  Random random_;
  at::Tensor training_inputs_, training_targets_;
  at::Tensor holdout_inputs_, holdout_targets_;
  std::vector<std::vector<int64_t>> bootstrap_;
  std::vector<int64_t> batch_;
  std::vector<Best> best_;
  FitResult result_;
};

}  // namespace

RowSplit SplitRows(int64_t num_rows, const FitOptions& options) {
  DEMORL_CHECK(num_rows >= 2);
  const double threshold = std::ldexp(options.holdout_ratio, 64);
  RowSplit split;
  for (int64_t row = num_rows; row-- > 0;) {  // the newest first
    const uint64_t draw = SplitSeed(options.holdout_seed, "holdout", options.first_row + row);
    const bool room = split.holdout.size() < static_cast<size_t>(options.max_holdout_rows);
    (room && static_cast<double>(draw) < threshold ? split.holdout : split.training).push_back(row);
  }
  if (split.holdout.empty()) {
    MoveLast(&split.training, &split.holdout);
  } else if (split.training.empty()) {
    MoveLast(&split.holdout, &split.training);
  }
  return split;
}

std::vector<std::vector<int64_t>> BootstrapRows(const std::vector<int64_t>& training, int64_t num_members,
                                                Random& random) {
  std::vector<std::vector<int64_t>> drawn(num_members, std::vector<int64_t>(training.size()));
  for (std::vector<int64_t>& member : drawn) {
    for (int64_t& row : member) {
      row = training[random.Index(training.size())];
    }
  }
  return drawn;
}

absl::StatusOr<FitResult> FitEnsemble(const at::Tensor& inputs_NI, const at::Tensor& targets_ND,
                                      const FitOptions& options, GaussianEnsemble* ensemble) {
  const TorchState before = ensemble->State();
  absl::StatusOr<FitResult> result = Fit(inputs_NI, targets_ND, options, ensemble).Run();
  if (!result.ok()) {
    DEMORL_CHECK(ensemble->SetState(before).ok());
  }
  return result;
}

}  // namespace demorl
