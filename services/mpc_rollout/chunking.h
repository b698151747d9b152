#pragma once

#include <cstddef>
#include <vector>

#include "common/tensor/transition_chunk.h"

namespace demorl {

// The segments of `chunk` in chunks of at most `max_bytes` of columns each, in order; a segment is never
// split.
std::vector<TransitionChunk> SplitChunk(TransitionChunk chunk, size_t max_bytes);

}  // namespace demorl
