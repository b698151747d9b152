#pragma once

// The one place where plain arrays become tensors and back. The dtype follows from the C++ type, so that an
// array can never be read as another type, and every conversion copies, so that no tensor outlives its
// memory.

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "ATen/ATen.h"
#include "common/base/check.h"

namespace demorl {

template <typename T>
constexpr at::ScalarType TensorType();
template <>
constexpr at::ScalarType TensorType<float>() {
  return at::kFloat;
}
template <>
constexpr at::ScalarType TensorType<double>() {
  return at::kDouble;
}
template <>
constexpr at::ScalarType TensorType<int32_t>() {
  return at::kInt;
}
template <>
constexpr at::ScalarType TensorType<int64_t>() {
  return at::kLong;
}
template <>
constexpr at::ScalarType TensorType<uint8_t>() {
  return at::kByte;
}

// A copy of `values` with the given shape on `device`; the product of the shape must be the number of values.
template <typename T>
at::Tensor ToTensor(std::span<const T> values, at::IntArrayRef shape, at::Device device = at::kCPU) {
  at::Tensor tensor = at::empty(shape, at::TensorOptions(TensorType<T>()));
  DEMORL_CHECK(tensor.numel() == static_cast<int64_t>(values.size()));
  if (!values.empty()) {
    std::memcpy(tensor.data_ptr<T>(), values.data(), values.size_bytes());
  }
  return device.is_cpu() ? tensor : tensor.to(device);
}

template <typename T>
at::Tensor ToTensor(const std::vector<T>& values, at::IntArrayRef shape, at::Device device = at::kCPU) {
  return ToTensor(std::span<const T>(values), shape, device);
}

// All values of a tensor of any device and layout, row-major.
template <typename T>
std::vector<T> ToVector(const at::Tensor& tensor) {
  const at::Tensor source = tensor.detach().to(at::kCPU).contiguous();
  DEMORL_CHECK(source.scalar_type() == TensorType<T>());
  const T* data = source.data_ptr<T>();
  return std::vector<T>(data, data + source.numel());
}

}  // namespace demorl
