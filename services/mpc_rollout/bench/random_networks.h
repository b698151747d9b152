#pragma once

#include "common/base/random.h"
#include "common/policy/safetensors.h"

namespace demorl {

// Networks of HalfCheetah's sizes with random weights, as the trainer and the learner publish them.
constexpr int kObservations = 17;
constexpr int kActions = 6;

TensorFile RandomDynamics(Random& random);
TensorFile RandomPolicyTensors(Random& random);
TensorFile RandomValueTensors(Random& random);

}  // namespace demorl
