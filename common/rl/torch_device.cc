#include "common/rl/torch_device.h"

#include "absl/strings/str_cat.h"

namespace demorl {

absl::StatusOr<at::Device> FindDevice(const std::string& name) {
  if (name == "auto") {
    return at::Device(at::hasCUDA() ? at::kCUDA : at::kCPU);
  }
  if (name == "cpu") {
    return at::Device(at::kCPU);
  }
  if (name == "cuda") {
    if (!at::hasCUDA()) {
      return absl::InvalidArgumentError(
          "device cuda was asked for; this LibTorch sees no CUDA device, only cpu");
    }
    return at::Device(at::kCUDA);
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown device ", name, "; known are auto, cpu and cuda"));
}

}  // namespace demorl
