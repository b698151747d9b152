#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace demorl {

// A float32 tensor of a snapshot, row-major.
struct NamedTensor {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

// Tensors by name, and free-form string metadata. Sorted, so that equal contents give equal bytes.
struct TensorFile {
  std::map<std::string, NamedTensor> tensors;
  std::map<std::string, std::string> metadata;
};

// The safetensors format (8-byte header length, JSON header, data), float32 only. Decoding checks every
// length and offset and answers INVALID_ARGUMENT with what was found; it never allocates more than the
// input's size.
std::string EncodeSafetensors(const TensorFile& file);
absl::StatusOr<TensorFile> DecodeSafetensors(absl::string_view bytes);

// INVALID_ARGUMENT naming the first tensor that holds a NaN or an infinity.
absl::Status CheckFinite(const TensorFile& file);

// NOT_FOUND or INVALID_ARGUMENT (other shape) unless the file holds `name` with this shape.
absl::StatusOr<const NamedTensor*> FindTensor(const TensorFile& file, absl::string_view name,
                                              const std::vector<int64_t>& shape);

}  // namespace demorl
