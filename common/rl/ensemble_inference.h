#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/planning/dynamics_model.h"
#include "common/policy/safetensors.h"

namespace demorl {

// The elite members of a dynamics snapshot, ready to predict. Torch stays behind this header.
// Thread-compatible. Rows are grouped by member, so that a row costs one network, and run in blocks that stay
// in the cache.
//
// Step (see DynamicsModel): `members` count elites, best first. `terminated` comes from the snapshot's
// classifier if it has one and is 0 otherwise; a caller that knows the task's rule applies it to
// `next_observations`. Without `draws` the variances are not computed.
class EnsembleInference : public DynamicsModel {
 public:
  // Tensors of a dynamics snapshot (see services/model_trainer/core/model_trainer.h). INVALID_ARGUMENT for
  // tensors that are missing, of other shapes or not finite, or a device ("cpu", "cuda", or "auto": cuda
  // where it can be had) that cannot be had.
  static absl::StatusOr<std::unique_ptr<EnsembleInference>> FromTensors(const TensorFile& tensors,
                                                                        int observation_size, int action_size,
                                                                        const std::string& device = "cpu");

  // Members of the whole ensemble by number in the snapshot, best first.
  virtual const std::vector<int>& elite_members() const = 0;

  virtual bool learned_termination() const = 0;

  // How much the elites disagree about each row: the root of the variance of their mean predictions of
  // [reward, change of observation], averaged over these. observations [B, O], actions [B, A], result [B].
  virtual absl::Status Disagreement(std::span<const float> observations, std::span<const float> actions,
                                    std::vector<float>* disagreement) = 0;
};

}  // namespace demorl
