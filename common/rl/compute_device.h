#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace demorl {

// Where LibTorch computes. Torch stays behind this header.
struct ComputeDevice {
  std::string name;    // "cpu" or "cuda", as at::Device takes it
  std::string reason;  // for logs: what was asked, and what there is
};

// `asked` is "cpu", "cuda", or "auto" for CUDA where LibTorch sees a GPU and the CPU elsewhere.
// INVALID_ARGUMENT for any other, and for "cuda" without a GPU.
absl::StatusOr<ComputeDevice> ChooseDevice(const std::string& asked);

}  // namespace demorl
