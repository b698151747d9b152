#pragma once

#include <span>
#include <vector>

#include "absl/status/status.h"

namespace demorl {

// A policy as a planner sees it: batched, row-major, actions normalised to [-1, 1]. Thread-compatible.
class PolicyFunction {
 public:
  virtual ~PolicyFunction() = default;

  // observations [B, O] -> actions [B, A], the squashed mean.
  virtual absl::Status Mean(std::span<const float> observations, std::vector<float>* actions) = 0;

  // One draw per row. draws [B, A]: how many standard deviations it lies from the mean before squashing.
  virtual absl::Status Sample(std::span<const float> observations, std::span<const float> draws,
                              std::vector<float>* actions) = 0;
};

// A terminal value as a planner sees it. Thread-compatible.
class ValueFunction {
 public:
  virtual ~ValueFunction() = default;

  // V(x): observations [B, O] -> values [B].
  virtual absl::Status Value(std::span<const float> observations, std::vector<float>* values) = 0;

  // Q(x, a): observations [B, O], actions [B, A] -> values [B].
  virtual absl::Status ActionValue(std::span<const float> observations, std::span<const float> actions,
                                   std::vector<float>* values) = 0;
};

}  // namespace demorl
