#include "common/rpc/security/log_throttle.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"

namespace demorl {
namespace {

constexpr double kLinesAtOnce = 10;
constexpr double kLinesPerSecond = 1;

}  // namespace

std::optional<int> LogThrottle::Admit() {
  const absl::Duration now = RealClock::Get().Now();
  absl::MutexLock lock(&mutex_);
  tokens_ = std::min(kLinesAtOnce, tokens_ + kLinesPerSecond * absl::ToDoubleSeconds(now - last_));
  last_ = now;
  if (tokens_ < 1) {
    ++left_out_;
    return std::nullopt;
  }
  tokens_ -= 1;
  return std::exchange(left_out_, 0);
}

std::string LogThrottle::Text(int left_out) {
  return left_out == 0 ? "" : absl::StrCat(" (", left_out, " more before)");
}

}  // namespace demorl
