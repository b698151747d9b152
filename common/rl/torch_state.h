#pragma once

// Learner state as bytes: named tensors and named 64-bit words, bit-exact, without pickle. Used by the
// checkpoints of learner and model trainer.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ATen/ATen.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace demorl {

struct TorchState {
  // float32, float64, int64 or uint8; any device.
  std::map<std::string, at::Tensor> tensors;
  // Counters, random states, doubles by std::bit_cast.
  std::map<std::string, std::vector<uint64_t>> words;
};

// Equal contents give equal bytes. A CRC-32C closes them.
std::string EncodeTorchState(const TorchState& state);

// Tensors on the CPU. DATA_LOSS for bytes that are cut, damaged or no such state; allocates no more than
// their size.
absl::StatusOr<TorchState> DecodeTorchState(absl::string_view bytes);

// Copies tensors of `state` into `destinations` in place, by name: all of them or, on an error, none.
// INVALID_ARGUMENT if one is missing or has another type or shape, naming both.
absl::Status LoadTensors(const TorchState& state, const std::map<std::string, at::Tensor>& destinations);

// The words under `name`. INVALID_ARGUMENT unless there are `count` of them.
absl::StatusOr<std::vector<uint64_t>> LoadWords(const TorchState& state, absl::string_view name,
                                                size_t count);

}  // namespace demorl
