#pragma once

#include <array>
#include <cstdint>

namespace demorl {

// A span of a distributed trace (W3C Trace Context): whatever follows from it is its child. Plain data.
struct TraceContext {
  std::array<uint8_t, 16> trace_id{};
  std::array<uint8_t, 8> span_id{};

  friend bool operator==(const TraceContext&, const TraceContext&) = default;
};

}  // namespace demorl
