#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "common/tensor/transition_chunk.h"

namespace demorl {

// What a row must satisfy to enter a table.
struct RowLimits {
  int observation_size = 0;
  int action_size = 0;
  // Of observations and rewards.
  double max_magnitude = 1e6;
  // Actions are normalised to [-1, 1]; a little beyond is a rounding of the sender's, more is an error.
  double max_action = 1.5;
};

// Why a row is refused.
inline constexpr std::array kQuarantineReasons = {"shape", "non_finite", "magnitude", "action_range",
                                                  "malformed"};

// Rows refused, by reason.
using QuarantineCounts = std::map<std::string, int64_t>;

// Takes the rows of a chunk that may enter a table. A bad row is cut out, and so is its neighbour where they
// share the bad observation; what is left of its segment becomes separate segments, so that no transition
// reaches across the gap. The end flags of a segment stay with its last row.
std::vector<Segment> TakeGoodSegments(const TransitionChunk& chunk, const RowLimits& limits,
                                      QuarantineCounts* refused);

}  // namespace demorl
