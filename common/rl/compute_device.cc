#include "common/rl/compute_device.h"

#include "ATen/Context.h"
#include "absl/strings/str_cat.h"

namespace demorl {
namespace {

// LibTorch itself says on stderr when a driver is there that it cannot use.
std::string DescribeCuda() {
  if (at::globalContext().hasCUDA()) {
    return "LibTorch sees a GPU";
  }
  return at::globalContext().hasCUDART() ? "LibTorch has CUDA, but sees no GPU" : "LibTorch is without CUDA";
}

}  // namespace

absl::StatusOr<ComputeDevice> ChooseDevice(const std::string& asked) {
  if (asked != "auto" && asked != "cpu" && asked != "cuda") {
    return absl::InvalidArgumentError(absl::StrCat("device = '", asked, "'; want auto, cpu or cuda"));
  }
  if (asked == "cpu") {
    return ComputeDevice{.name = "cpu", .reason = "asked for cpu"};
  }
  const bool has_gpu = at::globalContext().hasCUDA();
  if (asked == "cuda" && !has_gpu) {
    return absl::InvalidArgumentError(
        absl::StrCat("device = 'cuda'; ", DescribeCuda(), "; want auto or cpu"));
  }
  return ComputeDevice{.name = has_gpu ? "cuda" : "cpu",
                       .reason = absl::StrCat("asked for ", asked, "; ", DescribeCuda())};
}

}  // namespace demorl
