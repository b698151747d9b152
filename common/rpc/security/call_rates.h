#pragma once

#include <map>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"

namespace demorl {

// A bucket of calls for each client: it may begin a second's worth at once, and then as many as its rate
// allows. Thread-safe.
class CallRates {
 public:
  // 0 for any number. Borrows the clock.
  CallRates(double max_calls_per_second, const Clock& clock) : rate_(max_calls_per_second), clock_(clock) {}

  // RESOURCE_EXHAUSTED if the client's bucket is empty.
  absl::Status Take(absl::string_view client);

 private:
  struct Bucket {
    double calls = 0;
    absl::Duration last;
  };
  void ForgetFullBuckets(absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const double rate_;
  const Clock& clock_;
  absl::Mutex mutex_;
  std::map<std::string, Bucket, std::less<>> buckets_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace demorl
