#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace demorl {

// The options of a replay store as plain structs; replay_config.h makes them from the config message.

struct RateLimiterOptions {
  // Updates per row inserted after the first `min_rows`; 0 for no limit.
  double updates_per_row = 0;
  // Rows that simulated writers may insert beyond what the updates so far have earned.
  int64_t max_rows_ahead = 25;
  // Updates that samplers may draw beyond (rows_inserted - min_rows) * updates_per_row.
  int64_t max_updates_ahead = 0;
  // Rows inserted before the first batch.
  int64_t min_rows = 1;
};

enum class SelectorKind { kUniform, kFifo };

struct TableOptions {
  std::string name;
  int64_t max_rows = 1'000'000;
  SelectorKind selector = SelectorKind::kUniform;
  RateLimiterOptions rate_limiter;
  // Planning rounds kept; 0 when rows do not belong to rounds.
  int retained_rounds = 0;
  // Rows are dropped once the table "env" has taken this many rows after their insertion; 0 for never.
  int64_t max_age_environment_rows = 0;
  // Written to the store, where the core has one.
  bool durable = true;
};

struct ReplayOptions {
  std::string run_id;
  std::vector<TableOptions> tables;
  absl::Duration group_commit = absl::Milliseconds(5);
  // Rewards and observations beyond this magnitude are quarantined.
  double max_magnitude = 1e6;
  // Root of the selectors' random streams.
  uint64_t seed = 0;
};

// INVALID_ARGUMENT for names that are empty or repeat, values out of range, and limiters that must deadlock:
// with writers as far ahead as they may be, no update would be allowed.
absl::Status ValidateReplayOptions(const ReplayOptions& options);

}  // namespace demorl
