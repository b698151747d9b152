#pragma once

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "common/env/environment.h"
#include "services/actor/core/episode_collector.h"

namespace demorl {

// Where the core gets its environments from; called once per environment (collector) or episode (evaluation),
// for evaluations from several threads at once.
using EnvironmentFactory = std::function<absl::StatusOr<std::unique_ptr<Environment>>(uint64_t seed)>;

// EpisodeCollector::Create and Evaluate on environments of the caller's making.
absl::StatusOr<std::unique_ptr<EpisodeCollector>> CreateEpisodeCollector(
    const EpisodeCollector::Options& options, const EnvironmentFactory& factory);
absl::StatusOr<EvaluationResult> EvaluateOn(const EnvironmentFactory& factory, const TensorFile& policy,
                                            const EvaluationOptions& options);

}  // namespace demorl
