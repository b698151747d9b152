#pragma once

#include <map>

#include "absl/status/status.h"
#include "common/metrics/metrics.h"
#include "common/rpc/security/log_throttle.h"

namespace demorl {

// Counts and logs calls that were refused before their handler. Thread-safe.
class RefusedCalls {
 public:
  // Borrows `metrics`, which may be null.
  explicit RefusedCalls(Metrics* metrics);

  // Of each call; OK for one that was let in.
  void Note(const absl::Status& status);

 private:
  // By code of the refusal; null without metrics.
  std::map<absl::StatusCode, Counter*> refused_;
  LogThrottle log_throttle_;
};

}  // namespace demorl
