#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "common/base/random.h"
#include "common/policy/safetensors.h"

namespace demorl {

// The tanh-Gaussian policy of SAC in Eigen: ReLU layers, then mean and log standard deviation, squashed by
// tanh. No allocation after construction. Thread-compatible: an instance owns its scratch space.
//
// Tensors of a policy snapshot, L hidden layers (architecture type "tanh_gaussian_mlp"):
//   policy.hidden.<l>.weight [out, in], policy.hidden.<l>.bias [out]      l = 0 .. L-1
//   policy.mean.weight [A, in], policy.mean.bias [A]
//   policy.log_stddev.weight [A, in], policy.log_stddev.bias [A]
// metadata: "log_stddev_min", "log_stddev_max" (decimal text).
class MlpPolicy {
 public:
  // INVALID_ARGUMENT if tensors are missing, of other shapes than O and A imply, or not finite.
  static absl::StatusOr<std::unique_ptr<MlpPolicy>> Create(const TensorFile& file, int observation_size,
                                                           int action_size);
  // From the bytes of a snapshot payload.
  static absl::StatusOr<std::unique_ptr<MlpPolicy>> Create(absl::string_view payload, int observation_size,
                                                           int action_size);
  ~MlpPolicy();

  int observation_size() const;
  int action_size() const;

  // tanh of the mean. observation [O], action [A].
  void Mean(std::span<const float> observation, std::span<float> action);

  // tanh of a draw from the Gaussian.
  void Sample(std::span<const float> observation, Random& random, std::span<float> action);

 private:
  struct Network;
  explicit MlpPolicy(std::unique_ptr<Network> network);
  std::unique_ptr<Network> network_;
};

}  // namespace demorl
