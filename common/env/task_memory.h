#pragma once

#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

#include "common/base/check.h"

namespace demorl {

// What a task remembers from one step to the next, as the numbers that MujocoEnvironment saves: the bits of a
// plain struct.
template <typename Memory>
std::vector<double> PackMemory(const Memory& memory) {
  static_assert(std::is_trivially_copyable_v<Memory> && sizeof(Memory) % sizeof(double) == 0);
  std::vector<double> values(sizeof(memory) / sizeof(double));
  std::memcpy(values.data(), &memory, sizeof(memory));
  return values;
}

template <typename Memory>
Memory UnpackMemory(std::span<const double> values) {
  static_assert(std::is_trivially_copyable_v<Memory> && sizeof(Memory) % sizeof(double) == 0);
  Memory memory;
  DEMORL_CHECK(values.size_bytes() == sizeof(memory));
  std::memcpy(static_cast<void*>(&memory), values.data(), sizeof(memory));
  return memory;
}

}  // namespace demorl
