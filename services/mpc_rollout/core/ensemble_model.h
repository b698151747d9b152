#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/env/environment.h"
#include "common/planning/dynamics_model.h"
#include "common/policy/safetensors.h"

namespace demorl {

// A dynamics snapshot (see ModelTrainer::DynamicsTensors) as the planner's model; its members are the
// snapshot's elite members. Where `termination_rule` is null the snapshot's classifier decides what has
// terminated. INVALID_ARGUMENT for missing, ill-shaped or non-finite tensors, or if there is neither rule nor
// classifier.
absl::StatusOr<std::unique_ptr<DynamicsModel>> MakeEnsembleModel(const TensorFile& file, int observation_size,
                                                                 int action_size,
                                                                 TerminationRule termination_rule,
                                                                 const std::string& device);

}  // namespace demorl
