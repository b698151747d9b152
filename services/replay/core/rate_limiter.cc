#include "services/replay/core/rate_limiter.h"

#include <cmath>

#include "absl/strings/str_cat.h"

namespace demorl {

bool RateLimiter::UpdateAllowed(int64_t rows_inserted) const {
  if (!HasMinRows(rows_inserted)) {
    return false;
  }
  if (!limits()) {
    return true;
  }
  const double earned = static_cast<double>(rows_inserted - options_.min_rows) * options_.updates_per_row;
  return static_cast<double>(updates_ + 1) <= earned + static_cast<double>(options_.max_updates_ahead);
}

int64_t RateLimiter::RowsAllowed() const {
  if (!limits()) {
    return kUnlimitedRows;
  }
  const double earned = std::ceil(static_cast<double>(updates_) / options_.updates_per_row);
  return options_.min_rows + static_cast<int64_t>(earned) + options_.max_rows_ahead;
}

double RateLimiter::Error(int64_t rows_inserted) const {
  if (!limits()) {
    return 0;
  }
  return static_cast<double>(rows_inserted - options_.min_rows) * options_.updates_per_row -
         static_cast<double>(updates_);
}

absl::Status ValidateRateLimiter(const RateLimiterOptions& options) {
  if (!std::isfinite(options.updates_per_row) || options.updates_per_row < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("updates_per_row = ", options.updates_per_row, "; want > 0, or none for no limit"));
  }
  if (options.min_rows < 1 || options.max_rows_ahead < 1 || options.max_updates_ahead < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("min_rows = ", options.min_rows, ", max_rows_ahead = ", options.max_rows_ahead,
                     ", max_updates_ahead = ", options.max_updates_ahead, "; want >= 1, >= 1 and >= 0"));
  }
  const double allowance = static_cast<double>(options.max_rows_ahead) * options.updates_per_row +
                           static_cast<double>(options.max_updates_ahead);
  if (options.updates_per_row > 0 && allowance < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_rows_ahead * updates_per_row + max_updates_ahead = ", allowance,
                     "; want >= 1, or writers and samplers wait for each other for ever"));
  }
  return absl::OkStatus();
}

}  // namespace demorl
