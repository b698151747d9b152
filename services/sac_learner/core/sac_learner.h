#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/policy/safetensors.h"
#include "common/tensor/transition_chunk.h"
#include "demorl/config/v1/sac.pb.h"
#include "services/sac_learner/core/sac_metrics.h"

namespace demorl {

// Soft actor-critic: policy, twin q functions with target copies, learned temperature, optional V network.
// Source: Haarnoja et al. 2018, "Soft Actor-Critic Algorithms and Applications". Torch stays behind this
// header. Thread-compatible. The same seed and the same batches give the same weights, bit by bit.
class SacLearner {
 public:
  struct Options {
    demorl::config::v1::SacConfig config;
    int observation_size = 0;
    int action_size = 0;
    uint64_t seed = 0;
    // "cpu", "cuda", or "auto" for cuda where there is one.
    std::string device = "cpu";
  };

  // INVALID_ARGUMENT for sizes or a device that cannot be had.
  static absl::StatusOr<std::unique_ptr<SacLearner>> Create(const Options& options);
  virtual ~SacLearner() = default;

  // One gradient step of every network. A non-finite batch or loss leaves all state as it was and answers
  // DATA_LOSS; after config.max_non_finite in a row, FAILED_PRECONDITION with the reason.
  virtual absl::StatusOr<SacMetrics> Update(const TransitionBatch& batch) = 0;

  virtual int64_t num_updates() const = 0;
  virtual int64_t num_skipped() const = 0;

  // Payload of a policy snapshot (see MlpPolicy).
  virtual TensorFile PolicyTensors() const = 0;

  // Payload of a value snapshot: the target q functions `q.<i>.hidden.<l>.{weight,bias}`,
  // `q.<i>.out.{weight,bias}` for i = 0, 1, and with a V network its target copy `v.hidden...`, `v.out...`.
  // metadata: "entropy_temperature", and "reward_scale", which they are in units of.
  virtual TensorFile ValueTensors() const = 0;

  // Everything that the future of training depends on: networks, targets, optimisers, temperature, counters,
  // random state. A learner restored from it continues bit by bit. INVALID_ARGUMENT for a state of other
  // shapes, naming them.
  virtual std::string SaveState() const = 0;
  virtual absl::Status RestoreState(absl::string_view state) = 0;
};

}  // namespace demorl
