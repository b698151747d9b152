#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "demorl/config/v1/replay.pb.h"
#include "services/replay/core/replay_options.h"

namespace demorl {

// INVALID_ARGUMENT as ValidateReplayOptions.
absl::StatusOr<ReplayOptions> ReplayOptionsFromConfig(const demorl::config::v1::ReplayConfig& config,
                                                      const std::string& run_id, uint64_t seed);

}  // namespace demorl
