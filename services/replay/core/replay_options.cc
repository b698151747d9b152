#include "services/replay/core/replay_options.h"

#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "services/replay/core/rate_limiter.h"

namespace demorl {
namespace {

absl::Status ValidateTable(const TableOptions& table) {
  if (table.name.empty()) {
    return absl::InvalidArgumentError("a table has no name; want a name, \"env\" or \"mpc\" for example");
  }
  if (table.max_rows < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("table '", table.name, "': max_rows = ", table.max_rows, "; want >= 1"));
  }
  if (table.retained_rounds < 0 || table.max_age_environment_rows < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("table '", table.name, "': retained_rounds = ", table.retained_rounds,
                     ", max_age_environment_rows = ", table.max_age_environment_rows, "; want >= 0"));
  }
  if (table.rate_limiter.min_rows > table.max_rows) {
    return absl::InvalidArgumentError(absl::StrCat("table '", table.name,
                                                   "': min_rows = ", table.rate_limiter.min_rows,
                                                   "; want at most max_rows, ", table.max_rows));
  }
  absl::Status limiter = ValidateRateLimiter(table.rate_limiter);
  if (!limiter.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("table '", table.name, "': ", limiter.message()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateReplayOptions(const ReplayOptions& options) {
  if (options.tables.empty()) {
    return absl::InvalidArgumentError("replay has no tables; want at least one");
  }
  if (!(options.max_magnitude > 0)) {
    return absl::InvalidArgumentError(absl::StrCat("max_magnitude = ", options.max_magnitude, "; want > 0"));
  }
  std::set<std::string> names;
  for (const TableOptions& table : options.tables) {
    RETURN_IF_ERROR(ValidateTable(table));
    if (!names.insert(table.name).second) {
      return absl::InvalidArgumentError(absl::StrCat("table '", table.name, "' is configured twice"));
    }
  }
  return absl::OkStatus();
}

}  // namespace demorl
