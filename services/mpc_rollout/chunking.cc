#include "services/mpc_rollout/chunking.h"

#include <optional>
#include <utility>

namespace demorl {
namespace {

size_t Bytes(const Segment& segment) {
  return sizeof(float) * (segment.observations.size() + segment.actions.size() + segment.rewards.size()) +
         sizeof(uint64_t) * segment.policy_versions.size();
}

}  // namespace

std::vector<TransitionChunk> SplitChunk(TransitionChunk chunk, size_t max_bytes) {
  std::vector<TransitionChunk> pieces;
  size_t bytes = 0;
  for (Segment& segment : chunk.segments) {
    const size_t more = Bytes(segment);
    if (pieces.empty() || bytes + more > max_bytes) {
      pieces.push_back({.observation_size = chunk.observation_size,
                        .action_size = chunk.action_size,
                        .segments = {},
                        .trace = pieces.empty() ? chunk.trace : std::nullopt});
      bytes = 0;
    }
    bytes += more;
    pieces.back().segments.push_back(std::move(segment));
  }
  return pieces;
}

}  // namespace demorl
