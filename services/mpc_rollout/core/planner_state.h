#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace demorl {

// What a planner's future depends on besides its snapshots.
struct PlannerState {
  int64_t num_rounds = 0;
  int64_t num_plans = 0;
  std::vector<float> previous_plan;  // [H, A]; empty for none
};

// Little-endian, closed by a CRC-32C. Decoding answers DATA_LOSS for bytes that are cut or damaged.
std::string EncodePlannerState(const PlannerState& state);
absl::StatusOr<PlannerState> DecodePlannerState(absl::string_view bytes);

}  // namespace demorl
