#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/planning/policy_function.h"
#include "common/policy/safetensors.h"

namespace demorl {

// Snapshots as the planner's batched functions, in LibTorch, which stays behind this header.

// From the tensors of a policy snapshot (see MlpPolicy). INVALID_ARGUMENT if tensors are missing, of other
// shapes than O and A imply, or not finite.
absl::StatusOr<std::unique_ptr<PolicyFunction>> MakePolicyNetwork(const TensorFile& file,
                                                                  int observation_size, int action_size,
                                                                  const std::string& device);

// From the tensors of a value snapshot (see SacLearner::ValueTensors); errors as above.
//   V(x) = the V network's target copy, if the snapshot has one, else min_i Q_i(x, mean action of the
//   policy). Q(x, u) = min_i Q_i(x, u).
// Both in units of the task's reward: the snapshot's metadata "reward_scale" (1 when missing) is taken out.
// Differs: V leaves out -alpha log pi, since the summed rewards before it have no entropy term either.
// `policy` gives the policy in use, which changes more often than the value.
absl::StatusOr<std::unique_ptr<ValueFunction>> MakeValueNetwork(const TensorFile& file, int observation_size,
                                                                int action_size, const std::string& device,
                                                                std::function<PolicyFunction*()> policy);

}  // namespace demorl
