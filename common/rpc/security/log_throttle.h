#pragma once

#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace demorl {

// Keeps what strangers can cause from filling a log: a few lines at once, then one a second. Thread-safe.
class LogThrottle {
 public:
  // How many lines were left out before this one; nothing if this one is left out too.
  std::optional<int> Admit();

  // What to add to a line: empty for 0.
  static std::string Text(int left_out);

 private:
  absl::Mutex mutex_;
  double tokens_ ABSL_GUARDED_BY(mutex_) = 10;
  absl::Duration last_ ABSL_GUARDED_BY(mutex_);
  int left_out_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace demorl
