#pragma once

// The Torch side of SacLearner, behind plain structs: no source file may see both Torch's headers and
// protobuf's.

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/policy/safetensors.h"
#include "common/tensor/transition_chunk.h"
#include "services/sac_learner/core/sac_metrics.h"
#include "services/sac_learner/core/sac_settings.h"

namespace demorl {

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
