#pragma once

#include <map>
#include <string>
#include <vector>

#include "ATen/ATen.h"
#include "common/base/random.h"
#include "common/tensor/transition_chunk.h"
#include "services/sac_learner/core/sac_settings.h"

namespace demorl::testing {

inline constexpr int kObservations = 5, kActions = 3, kRows = 32;

inline SacSettings SmallSac() {
  return {.observation_size = kObservations,
          .action_size = kActions,
          .seed = 11,
          .hidden_sizes = {16, 12},
          .log_stddev_min = -5,
          .initial_entropy_temperature = 0.4,
          .target_entropy = -1.5,
          .reward_scale = 2,
          .value_network = true};
}

inline TransitionBatch MakeBatch() {
  Random random(3);
  TransitionBatch batch;
  batch.Resize(kRows, kObservations, kActions);
  random.FillNormal(batch.observations);
  random.FillNormal(batch.next_observations);
  random.FillNormal(batch.rewards);
  for (float& action : batch.actions) {
    action = static_cast<float>(random.Uniform(-1, 1));
  }
  for (int i = 0; i < kRows; ++i) {
    batch.terminated[i] = i % 4 == 0;
  }
  return batch;
}

// Layers of one network of a saved state, as leaves that record gradients.
struct Leaves {
  Leaves(const std::map<std::string, at::Tensor>& state, const std::string& prefix,
         bool has_layer_norm = false)
      : layer_norm(has_layer_norm) {
    for (int layer = 0; state.count(prefix + "." + std::to_string(layer) + ".weight") != 0; ++layer) {
      for (const char* part : {".weight", ".bias"}) {
        tensors.push_back(
            state.at(prefix + "." + std::to_string(layer) + part).clone().set_requires_grad(true));
      }
    }
  }
  at::Tensor operator()(at::Tensor x) const {
    for (size_t i = 0; i < tensors.size(); i += 2) {
      x = at::matmul(x, tensors[i].t()) + tensors[i + 1];
      const bool is_hidden = i + 2 < tensors.size();
      x = is_hidden && layer_norm ? at::layer_norm(x, {x.size(1)}) : x;
      x = is_hidden ? x.relu() : x;
    }
    return x;
  }
  at::Tensor Gradient() const {
    std::vector<at::Tensor> flat;
    for (const at::Tensor& tensor : tensors) {
      flat.push_back(tensor.grad().reshape({-1}));
    }
    return at::cat(flat);
  }
  bool layer_norm;
  std::vector<at::Tensor> tensors;
};

}  // namespace demorl::testing
