#include "services/replay/core/replay_config.h"

#include "common/base/random.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

namespace pb = ::demorl::config::v1;

TableOptions TableOptionsFromConfig(const pb::TableConfig& config) {
  const pb::RateLimiterConfig& limiter = config.rate_limiter();
  return {.name = config.name(),
          .max_rows = config.max_rows(),
          .selector = config.selector() == pb::SELECTOR_FIFO ? SelectorKind::kFifo : SelectorKind::kUniform,
          .rate_limiter = {.updates_per_row = limiter.has_updates_per_row() ? limiter.updates_per_row() : 0,
                           .max_rows_ahead = limiter.max_rows_ahead(),
                           .max_updates_ahead = limiter.max_updates_ahead(),
                           .min_rows = limiter.min_rows()},
          .retained_rounds = config.retained_rounds(),
          .max_age_environment_rows = config.max_age_environment_rows(),
          .durable = config.durability() != pb::DURABILITY_NONE};
}

}  // namespace

absl::StatusOr<ReplayOptions> ReplayOptionsFromConfig(const pb::ReplayConfig& config,
                                                      const std::string& run_id, uint64_t seed) {
  ReplayOptions options{.run_id = run_id,
                        .group_commit = absl::Milliseconds(config.group_commit_ms()),
                        .max_magnitude = config.max_magnitude(),
                        .seed = SplitSeed(seed, "replay")};
  for (const pb::TableConfig& table : config.tables()) {
    options.tables.push_back(TableOptionsFromConfig(table));
  }
  RETURN_IF_ERROR(ValidateReplayOptions(options));
  return options;
}

}  // namespace demorl
