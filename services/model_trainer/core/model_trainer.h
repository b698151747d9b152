#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/policy/safetensors.h"
#include "common/tensor/transition_chunk.h"
#include "demorl/config/v1/model.pb.h"
#include "services/model_trainer/core/training_report.h"

namespace demorl {

// Trains the probabilistic ensemble on D_ENV: Gaussian negative log-likelihood of [reward, change of
// observation]. Torch stays behind this header. Thread-compatible. Deterministic given seed and rows.
class ModelTrainer {
 public:
  struct Options {
    demorl::config::v1::ModelConfig config;
    int observation_size = 0;
    int action_size = 0;
    // Also train a classifier of termination beside the ensemble, for tasks without a known rule.
    bool learn_termination = false;
    uint64_t seed = 0;
    // "cpu", "cuda", or "auto": cuda where it can be had.
    std::string device = "cpu";
    // Asked between batches, maybe from another thread's state; true ends a training with CANCELLED. May be
    // empty.
    std::function<bool()> should_stop;
  };

  static absl::StatusOr<std::unique_ptr<ModelTrainer>> Create(const Options& options);
  virtual ~ModelTrainer() = default;

  // Mirrors rows of D_ENV, in insertion order; beyond config.max_rows the oldest are dropped.
  virtual absl::Status AddRows(const TransitionChunk& chunk) = 0;
  virtual int64_t num_rows() const = 0;

  // Trains until no member's holdout error has improved for `patience` passes and `patience_steps` gradient
  // steps, then restores each member's best weights. FAILED_PRECONDITION with fewer than 2 rows. A non-finite
  // loss restores the weights of before and answers DATA_LOSS; after config.max_non_finite in a row,
  // FAILED_PRECONDITION. A stopped training, too, leaves everything as it was before.
  virtual absl::StatusOr<TrainingReport> Train() = 0;

  virtual int64_t num_trainings() const = 0;

  // Payload of a dynamics snapshot, K members, I = O + A inputs, D = 1 + O outputs [reward, change of
  // observation]:
  //   ensemble.<l>.weight [K, in, out], ensemble.<l>.bias [K, out]; the last layer has out = 2 D: means, then
  //   log variances. input_mean [I], input_stddev [I], log_variance_max [D], log_variance_min [D].
  //   termination.<l>.weight [in, out], termination.<l>.bias [out] (input: next observation) if it is
  //   learned.
  //   Hidden layers of the classifier are ReLU; the episode has terminated where the logit is above 0.
  // metadata: "elite_members" ("0,2,5", best first), "activation" ("silu").
  virtual TensorFile DynamicsTensors() const = 0;

  // Weights, optimiser, normaliser, counters and random state; not the mirrored rows. A trainer restored from
  // it, with the same rows added, continues bit by bit.
  virtual std::string SaveState() const = 0;
  virtual absl::Status RestoreState(absl::string_view state) = 0;
};

}  // namespace demorl
