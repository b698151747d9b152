#include "common/robot/safety/lease.h"

#include "absl/strings/str_cat.h"

namespace demorl {

absl::StatusOr<Lease::Grant> Lease::Acquire(const std::string& holder, absl::Duration duration) {
  if (holder.empty() || duration <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat("lease for '", holder, "' of ",
                                                   absl::FormatDuration(duration),
                                                   "; want a holder's name and a duration > 0"));
  }
  absl::MutexLock lock(&mutex_);
  if (IsHeld() && holder_ != holder) {
    return absl::FailedPreconditionError(absl::StrCat("the robot is held by ", holder_, ", for another ",
                                                      absl::FormatDuration(expiry_ - clock_.Now()),
                                                      " unless renewed"));
  }
  id_ = next_id_++;
  holder_ = holder;
  expiry_ = clock_.Now() + duration;
  return Grant{id_, expiry_};
}

absl::StatusOr<Lease::Grant> Lease::Renew(uint64_t lease_id, absl::Duration duration) {
  absl::MutexLock lock(&mutex_);
  if (lease_id == 0 || lease_id != id_ || !IsHeld() || duration <= absl::ZeroDuration()) {
    return absl::FailedPreconditionError(
        absl::StrCat("lease ", lease_id, " is over",
                     IsHeld() ? absl::StrCat("; the robot is held by ", holder_) : "", "; arm again"));
  }
  expiry_ = clock_.Now() + duration;
  return Grant{id_, expiry_};
}

absl::Status Lease::Release(uint64_t lease_id) {
  absl::MutexLock lock(&mutex_);
  if (lease_id == 0 || lease_id != id_) {
    return absl::FailedPreconditionError(absl::StrCat(
        "lease ", lease_id, " is over", IsHeld() ? absl::StrCat("; the robot is held by ", holder_) : ""));
  }
  id_ = 0;
  holder_.clear();
  return absl::OkStatus();
}

std::string Lease::holder() const {
  absl::MutexLock lock(&mutex_);
  return IsHeld() ? holder_ : "";
}

}  // namespace demorl
