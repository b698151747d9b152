#pragma once

#include <algorithm>
#include <limits>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/metrics/metrics.h"

namespace demorl {

// How old what a service works by is: the time of its publication as a gauge, from which whoever reads it
// takes its age, and how long it took from there to here. Thread-safe.
class AppliedMetrics {
 public:
  // `prefix` as in demorl_actor_policy, `what` as in "policy".
  AppliedMetrics(Metrics& metrics, const std::string& prefix, const std::string& what)
      : published_(
            metrics.GetGauge(prefix + "_published_timestamp_seconds",
                             "When the " + what + " in use was published, since 1970; NaN without one")),
        to_apply_(metrics.GetHistogram(prefix + "_publish_to_apply_seconds",
                                       "From the publication of a new " + what + " until it is in use",
                                       {0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 1000})) {
    published_.Set(std::numeric_limits<double>::quiet_NaN());
  }

  // A version published at `published` is in use from `now` on. What is older than this process, or than a
  // version before it (a pin), says nothing about the way from publication to here.
  void Applied(absl::Time published, absl::Time now) {
    published_.Set(absl::ToDoubleSeconds(published - absl::UnixEpoch()));
    absl::MutexLock lock(&mutex_);
    if (published > newest_) {
      newest_ = published;
      // Clocks of two machines may differ by more than the way takes.
      to_apply_.Observe(std::max(0.0, absl::ToDoubleSeconds(now - published)));
    }
  }

 private:
  Gauge& published_;
  Histogram& to_apply_;
  absl::Mutex mutex_;
  // At first the start of this process, or what comes close.
  absl::Time newest_ ABSL_GUARDED_BY(mutex_) = absl::Now();
};

}  // namespace demorl
