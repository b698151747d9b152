#pragma once

#include "absl/status/statusor.h"
#include "common/tensor/environment_spec.h"
#include "common/tensor/transition_chunk.h"
#include "demorl/common/v1/environment.pb.h"
#include "demorl/common/v1/transition.pb.h"

namespace demorl {

// Between messages and plain structs. Encoding never fails. Decoding checks every length against the sizes
// declared in the message and answers INVALID_ARGUMENT with the field, what was found and what is allowed; it
// never allocates more than the message's own size. Values (finite, in range) are not checked here.

demorl::common::v1::EnvironmentSpec EncodeEnvironmentSpec(const EnvironmentSpec& spec);
absl::StatusOr<EnvironmentSpec> DecodeEnvironmentSpec(const demorl::common::v1::EnvironmentSpec& message);

demorl::common::v1::TransitionChunk EncodeTransitionChunk(const TransitionChunk& chunk);
absl::StatusOr<TransitionChunk> DecodeTransitionChunk(const demorl::common::v1::TransitionChunk& message);

demorl::common::v1::TransitionBatch EncodeTransitionBatch(const TransitionBatch& batch);
absl::StatusOr<TransitionBatch> DecodeTransitionBatch(const demorl::common::v1::TransitionBatch& message,
                                                      int observation_size, int action_size);

// Little-endian float32 bytes of `values`, and back; a length that is not a multiple of 4 is
// INVALID_ARGUMENT.
std::string EncodeFloats(const std::vector<float>& values);
absl::StatusOr<std::vector<float>> DecodeFloats(absl::string_view bytes);

}  // namespace demorl
