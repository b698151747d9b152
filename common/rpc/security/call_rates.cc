#include "common/rpc/security/call_rates.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace demorl {
namespace {

// Clients remembered before those that have been quiet are forgotten.
constexpr size_t kManyClients = 4096;

}  // namespace

absl::Status CallRates::Take(absl::string_view client) {
  if (rate_ <= 0) {
    return absl::OkStatus();
  }
  const absl::Duration now = clock_.Now();
  // At least one call fits in.
  const double capacity = std::max(1.0, rate_);
  absl::MutexLock lock(&mutex_);
  auto found = buckets_.find(client);
  if (found == buckets_.end()) {
    ForgetFullBuckets(now);
    found = buckets_.emplace(std::string(client), Bucket{.calls = capacity, .last = now}).first;
  }
  Bucket& bucket = found->second;
  bucket.calls = std::min(capacity, bucket.calls + rate_ * absl::ToDoubleSeconds(now - bucket.last));
  bucket.last = now;
  if (bucket.calls < 1) {
    return absl::ResourceExhaustedError(
        absl::StrCat(client, " begins more than ", rate_, " calls a second (limits.max_calls_per_second)"));
  }
  bucket.calls -= 1;
  return absl::OkStatus();
}

void CallRates::ForgetFullBuckets(absl::Duration now) {
  if (buckets_.size() < kManyClients) {
    return;
  }
  const double capacity = std::max(1.0, rate_);
  for (auto bucket = buckets_.begin(); bucket != buckets_.end();) {
    const bool full =
        bucket->second.calls + rate_ * absl::ToDoubleSeconds(now - bucket->second.last) >= capacity;
    bucket = full ? buckets_.erase(bucket) : std::next(bucket);
  }
}

}  // namespace demorl
