#pragma once

// The Torch side of SacLearner, behind plain structs: no source file may see both Torch's headers and
// protobuf's.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/policy/safetensors.h"
#include "common/tensor/transition_chunk.h"
#include "services/sac_learner/core/sac_metrics.h"

namespace demorl {

// SacConfig with its defaults resolved.
struct SacSettings {
  int observation_size = 0;
  int action_size = 0;
  uint64_t seed = 0;
  std::string device = "cpu";
  double discount = 0.99;
  double tau = 0.005;
  double learning_rate = 3e-4;
  std::vector<int64_t> hidden_sizes = {256, 256};
  double log_stddev_min = -20;
  double log_stddev_max = 2;
  double initial_entropy_temperature = 1;
  bool learn_entropy_temperature = true;
  double target_entropy = 0;
  double reward_scale = 1;
  int target_update_interval = 1;
  bool value_network = false;
  bool critic_layer_norm = false;
  double max_gradient_norm = 0;
  int max_non_finite = 10;
  int num_threads = 2;
};

// See SacLearner for the contract of each method.
class SacTrainer {
 public:
  static absl::StatusOr<std::unique_ptr<SacTrainer>> Create(const SacSettings& settings);
  virtual ~SacTrainer() = default;

  virtual absl::StatusOr<SacMetrics> Update(const TransitionBatch& batch) = 0;
  virtual int64_t num_updates() const = 0;
  virtual int64_t num_skipped() const = 0;
  virtual TensorFile PolicyTensors() const = 0;
  virtual TensorFile ValueTensors() const = 0;
  virtual std::string SaveState() const = 0;
  virtual absl::Status RestoreState(absl::string_view state) = 0;
};

}  // namespace demorl
