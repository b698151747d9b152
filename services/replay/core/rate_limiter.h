#pragma once

#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/replay/core/replay_options.h"

namespace demorl {

// Holds the updates drawn from a table and the rows inserted into it together.
//
//   an update may be drawn   iff rows_inserted >= min_rows and
//                            updates + 1 <= (rows_inserted - min_rows) * updates_per_row + max_updates_ahead
//   simulated writers        may insert until rows_inserted =
//                            min_rows + ceil(updates / updates_per_row) + max_rows_ahead
//
// Without updates_per_row only min_rows counts. Thread-compatible.
class RateLimiter {
 public:
  static constexpr int64_t kUnlimitedRows = std::numeric_limits<int64_t>::max();

  explicit RateLimiter(const RateLimiterOptions& options) : options_(options) {}

  bool HasMinRows(int64_t rows_inserted) const { return rows_inserted >= options_.min_rows; }
  bool UpdateAllowed(int64_t rows_inserted) const;
  void CountUpdate() { ++updates_; }

  int64_t RowsAllowed() const;

  // (rows_inserted - min_rows) * updates_per_row - updates; 0 when it does not limit.
  double Error(int64_t rows_inserted) const;

  const RateLimiterOptions& options() const { return options_; }
  int64_t updates() const { return updates_; }
  void set_updates(int64_t updates) { updates_ = updates; }

 private:
  bool limits() const { return options_.updates_per_row > 0; }

  RateLimiterOptions options_;
  int64_t updates_ = 0;
};

// INVALID_ARGUMENT for values out of range, and where max_rows_ahead * updates_per_row + max_updates_ahead <
// 1: then writers that are as far ahead as they may be have not earned one update, and both sides wait for
// ever.
absl::Status ValidateRateLimiter(const RateLimiterOptions& options);

// Integral over time of the number of those who wait. Thread-compatible.
class WaitingTime {
 public:
  void SetWaiting(int waiting, absl::Duration now) {
    total_ = Total(now);
    waiting_ = waiting;
    since_ = now;
  }
  int waiting() const { return waiting_; }
  absl::Duration Total(absl::Duration now) const { return total_ + waiting_ * (now - since_); }

 private:
  int waiting_ = 0;
  absl::Duration since_;
  absl::Duration total_;
};

}  // namespace demorl
