#include "services/replay/core/quarantine.h"

#include <algorithm>
#include <cmath>
#include <span>

namespace demorl {
namespace {

std::span<const float> Row(const std::vector<float>& values, int row, int columns) {
  return std::span<const float>(values).subspan(static_cast<size_t>(row) * columns,
                                                static_cast<size_t>(columns));
}

// Null if all values are finite and at most `max_magnitude` in size, or else the reason.
const char* CheckValues(std::span<const float> values, double max_magnitude, const char* too_large) {
  for (const float value : values) {
    if (!std::isfinite(value)) {
      return "non_finite";
    }
    if (std::abs(value) > max_magnitude) {
      return too_large;
    }
  }
  return nullptr;
}

bool HasRightShape(const Segment& segment, const RowLimits& limits) {
  if (segment.num_steps <= 0 || segment.rewards.size() != static_cast<size_t>(segment.num_steps)) {
    return false;
  }
  const auto n = static_cast<size_t>(segment.num_steps);
  const size_t disagreement = segment.provenance ? segment.provenance->disagreement.size() : 0;
  return segment.observations.size() == (n + 1) * limits.observation_size &&
         segment.actions.size() == n * limits.action_size && segment.policy_versions.size() == n &&
         (disagreement == 0 || disagreement == n);
}

// The reason why a step is bad, or null.
const char* CheckStep(const Segment& segment, int step, const RowLimits& limits) {
  const int o = limits.observation_size;
  for (const int row : {step, step + 1}) {
    if (const char* reason =
            CheckValues(Row(segment.observations, row, o), limits.max_magnitude, "magnitude")) {
      return reason;
    }
  }
  if (const char* reason = CheckValues(Row(segment.rewards, step, 1), limits.max_magnitude, "magnitude")) {
    return reason;
  }
  if (segment.provenance && !segment.provenance->disagreement.empty() &&
      !std::isfinite(segment.provenance->disagreement[static_cast<size_t>(step)])) {
    return "non_finite";
  }
  return CheckValues(Row(segment.actions, step, limits.action_size), limits.max_action, "action_range");
}

template <typename T>
std::vector<T> SliceOf(const std::vector<T>& values, int begin, int end, int columns) {
  return std::vector<T>(values.begin() + static_cast<ptrdiff_t>(begin) * columns,
                        values.begin() + static_cast<ptrdiff_t>(end) * columns);
}

// Steps [begin, end) of a segment.
Segment Cut(const Segment& segment, int begin, int end, const RowLimits& limits) {
  const bool last = end == segment.num_steps;
  Segment piece{.episode_id = segment.episode_id,
                .first_step = segment.first_step + begin,
                .num_steps = end - begin,
                .observations = SliceOf(segment.observations, begin, end + 1, limits.observation_size),
                .actions = SliceOf(segment.actions, begin, end, limits.action_size),
                .rewards = SliceOf(segment.rewards, begin, end, 1),
                .policy_versions = SliceOf(segment.policy_versions, begin, end, 1),
                .terminated = segment.terminated && last,
                .truncated = segment.truncated && last,
                .intervened = segment.intervened};
  if (segment.provenance) {
    piece.provenance = segment.provenance;
    if (!segment.provenance->disagreement.empty()) {
      piece.provenance->disagreement = SliceOf(segment.provenance->disagreement, begin, end, 1);
    }
  }
  return piece;
}

void TakeGoodSteps(const Segment& segment, const RowLimits& limits, std::vector<Segment>* good,
                   QuarantineCounts* refused) {
  int begin = 0;
  for (int step = 0; step <= segment.num_steps; ++step) {
    const char* reason = step < segment.num_steps ? CheckStep(segment, step, limits) : nullptr;
    if (reason == nullptr && step < segment.num_steps) {
      continue;
    }
    if (begin == 0 && step == segment.num_steps) {
      good->push_back(segment);
      return;
    }
    if (step > begin) {
      good->push_back(Cut(segment, begin, step, limits));
    }
    if (reason != nullptr) {
      ++(*refused)[reason];
    }
    begin = step + 1;
  }
}

}  // namespace

std::vector<Segment> TakeGoodSegments(const TransitionChunk& chunk, const RowLimits& limits,
                                      QuarantineCounts* refused) {
  std::vector<Segment> good;
  const bool sizes_match =
      chunk.observation_size == limits.observation_size && chunk.action_size == limits.action_size;
  for (const Segment& segment : chunk.segments) {
    if (sizes_match && HasRightShape(segment, limits)) {
      TakeGoodSteps(segment, limits, &good, refused);
    } else {
      (*refused)["shape"] += std::max(segment.num_steps, 1);
    }
  }
  return good;
}

}  // namespace demorl
