#pragma once

#include <string>

#include "ATen/ATen.h"
#include "absl/status/statusor.h"

namespace demorl {

// "auto" (CUDA if LibTorch sees a device, else the CPU), "cpu" or "cuda"; INVALID_ARGUMENT for other names,
// and for cuda without a CUDA device.
absl::StatusOr<at::Device> FindDevice(const std::string& name);

}  // namespace demorl
