#pragma once

#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/clock.h"

namespace demorl {

// Who may arm a robot: one holder at a time, until the time that the last heartbeat has bought. What the
// control loop reads of it is one number (OperatorPanel::lease_expiry), so that it never waits for this
// class. Thread-safe.
class Lease {
 public:
  struct Grant {
    uint64_t lease_id = 0;
    absl::Duration expiry;
  };

  // `first_id` must differ between starts of the process, so that an old holder does not renew a new lease.
  Lease(const Clock* clock, uint64_t first_id) : clock_(*clock), next_id_(first_id) {}

  // FAILED_PRECONDITION if another holder has it, naming the holder and the time left. The same holder gets a
  // new lease.
  absl::StatusOr<Grant> Acquire(const std::string& holder, absl::Duration duration);

  // The heartbeat. FAILED_PRECONDITION if the lease has expired or is another's: the robot must be armed
  // anew.
  absl::StatusOr<Grant> Renew(uint64_t lease_id, absl::Duration duration);

  // FAILED_PRECONDITION as Renew, but an expired lease may be released.
  absl::Status Release(uint64_t lease_id);

  // Empty without a holder.
  std::string holder() const;

 private:
  bool IsHeld() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return id_ != 0 && clock_.Now() < expiry_; }

  const Clock& clock_;
  mutable absl::Mutex mutex_;
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_);
  uint64_t id_ ABSL_GUARDED_BY(mutex_) = 0;  // 0: nobody's
  std::string holder_ ABSL_GUARDED_BY(mutex_);
  absl::Duration expiry_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace demorl
