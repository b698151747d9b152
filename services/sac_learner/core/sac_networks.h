#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ATen/ATen.h"
#include "common/policy/safetensors.h"
#include "common/rl/flat_adam.h"
#include "services/sac_learner/core/network_group.h"
#include "services/sac_learner/core/sac_settings.h"
#include "services/sac_learner/core/sac_workspace.h"

namespace demorl {

SacSizes SizesOf(const SacSettings& settings);

// Everything that updates of SAC move: networks with their optimisers and averaged copies, and the entropy
// temperature. Thread-compatible.
struct SacNetworks {
  // Weights drawn from settings.seed, averaged copies equal to them.
  static SacNetworks Make(const SacSettings& settings, at::Device device);

  double entropy_temperature() const;

  // What a snapshot of kind policy or value holds; see SacLearner.
  TensorFile PolicyTensors(const SacSettings& settings) const;
  TensorFile ValueTensors(const SacSettings& settings) const;

  // The whole state under the names of a saved one, shared, not copied; with it the numbers of steps of the
  // optimisers: policy, q, temperature, value (0 without a V network).
  std::map<std::string, at::Tensor> StateTensors() const;
  std::vector<uint64_t> AdamSteps() const;
  // `steps` [4].
  void SetAdamSteps(std::span<const uint64_t> steps);

  NetworkGroup policy;
  NetworkGroup q;
  at::Tensor log_temperature_1;  // CPU
  FlatAdam temperature_adam;
  // Null without a V network.
  std::unique_ptr<NetworkGroup> value;
};

}  // namespace demorl
