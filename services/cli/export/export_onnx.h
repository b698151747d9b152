#pragma once

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/policy/safetensors.h"

namespace demorl {

// A policy as an ONNX model, opset 13: input "observation" float32[batch, O], outputs "action" float32[batch,
// A] (the squashed mean) and "log_stddev" float32[batch, A] (clipped; of the Gaussian before squashing).
// INVALID_ARGUMENT unless the tensors are those of common/policy/mlp_policy.h.
absl::StatusOr<std::string> EncodeOnnx(const TensorFile& policy);

// Writes it to a file.
absl::Status ExportOnnx(const TensorFile& policy, const std::filesystem::path& path);

}  // namespace demorl
