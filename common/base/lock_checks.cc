#include "common/base/lock_checks.h"

#include "absl/synchronization/mutex.h"

namespace demorl {

void SkipLockOrderChecks() {
#ifdef NDEBUG
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
#endif
}

}  // namespace demorl
