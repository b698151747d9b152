#pragma once

// The Torch side of ModelTrainer, behind plain structs: no source file may see both Torch's headers and
// protobuf's.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/policy/safetensors.h"
#include "common/tensor/transition_chunk.h"
#include "services/model_trainer/core/training_report.h"

namespace demorl {

// ModelConfig with its defaults resolved.
struct EnsembleTrainerSettings {
  int observation_size = 0;
  int action_size = 0;
  bool learn_termination = false;
  uint64_t seed = 0;
  std::string device = "cpu";
  std::function<bool()> should_stop;

  int ensemble_size = 7;
  int num_elite_members = 5;
  std::vector<int64_t> hidden_sizes = {200, 200, 200, 200};
  std::vector<double> weight_decay = {2.5e-5, 5e-5, 7.5e-5, 7.5e-5, 1e-4};
  double learning_rate = 1e-3;
  int batch_size = 256;
  double holdout_ratio = 0.2;
  int max_holdout_rows = 5000;
  int patience = 5;
  int patience_steps = 100;
  double min_improvement = 0.01;
  int max_passes = 0;
  bool learn_log_variance_bounds = true;
  double log_variance_max = 0.5;
  double log_variance_min = -10;
  double log_variance_bound_penalty = 0.01;
  bool normalise_targets = true;
  bool warm_start = true;
  int64_t max_rows = 1000000;
  int max_non_finite = 3;
  int num_threads = 1;
};

// See ModelTrainer for the contract of each method.
class EnsembleTrainer {
 public:
  static absl::StatusOr<std::unique_ptr<EnsembleTrainer>> Create(const EnsembleTrainerSettings& settings);
  virtual ~EnsembleTrainer() = default;

  virtual absl::Status AddRows(const TransitionChunk& chunk) = 0;
  virtual int64_t num_rows() const = 0;
  virtual absl::StatusOr<TrainingReport> Train() = 0;
  virtual int64_t num_trainings() const = 0;
  virtual TensorFile DynamicsTensors() const = 0;
  virtual std::string SaveState() const = 0;
  virtual absl::Status RestoreState(absl::string_view state) = 0;
};

}  // namespace demorl
