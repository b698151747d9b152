// Tells ThreadSanitizer how Debian's Abseil synchronises. That library is not built for ThreadSanitizer, so
// without this every access under an absl::Mutex looks like a race. The linker's --wrap
// (tools/cmake/DemorlTsan.cmake) sends the calls of our own code through the functions below: a release at
// the address of the object before it is given up, an acquire after it is obtained. Conditions are wrapped
// too, because whoever unlocks evaluates those of all waiters.

#include <sanitizer/tsan_interface.h>

#include "absl/synchronization/barrier.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

namespace {

using absl::Barrier;
using absl::BlockingCounter;
using absl::Condition;
using absl::CondVar;
using absl::Duration;
using absl::Mutex;
using absl::Notification;
using absl::ReleasableMutexLock;
using absl::Time;

// A condition that is evaluated between an acquire and a release of its mutex.
class AnnotatedCondition {
 public:
  AnnotatedCondition(Mutex* mutex, const Condition& condition)
      : mutex_(mutex), inner_(condition), outer_(&Evaluate, this) {}

  const Condition& get() const { return outer_; }

 private:
  static bool Evaluate(AnnotatedCondition* self) {
    __tsan_acquire(self->mutex_);
    const bool result = self->inner_.Eval();
    __tsan_release(self->mutex_);
    return result;
  }

  Mutex* mutex_;
  const Condition& inner_;
  Condition outer_;
};

// The atomic flag behind the mutex of a notification, which HasBeenNotified() reads inline.
void* FlagOf(Notification* notification) { return reinterpret_cast<char*>(notification) + sizeof(Mutex); }

struct AcquireAtExit {
  ~AcquireAtExit() { __tsan_acquire(object); }
  void* object;
};

// Calls the real wait of a mutex; `held` says whether the caller holds it before (and so gives it up
// meanwhile).
template <typename Result, typename... Rest>
Result Wait(bool held, Result (*real)(Mutex*, const Condition&, Rest...), Mutex* mutex,
            const Condition& condition, Rest... rest) {
  AnnotatedCondition annotated(mutex, condition);
  if (held) __tsan_release(mutex);
  AcquireAtExit acquire{mutex};
  return real(mutex, annotated.get(), rest...);
}

}  // namespace

// Declares the real function and begins the definition of the one that stands before it.
#define DEMORL_WRAP(result, symbol, ...)          \
  extern "C" result __real_##symbol(__VA_ARGS__); \
  extern "C" result __wrap_##symbol(__VA_ARGS__)

DEMORL_WRAP(void, _ZN4absl7debian35Mutex4LockEv, Mutex* mutex) {
  __real__ZN4absl7debian35Mutex4LockEv(mutex);
  __tsan_acquire(mutex);
}

DEMORL_WRAP(void, _ZN4absl7debian35Mutex6UnlockEv, Mutex* mutex) {
  __tsan_release(mutex);
  __real__ZN4absl7debian35Mutex6UnlockEv(mutex);
}

DEMORL_WRAP(bool, _ZN4absl7debian35Mutex7TryLockEv, Mutex* mutex) {
  const bool locked = __real__ZN4absl7debian35Mutex7TryLockEv(mutex);
  if (locked) __tsan_acquire(mutex);
  return locked;
}

DEMORL_WRAP(void, _ZN4absl7debian35Mutex10ReaderLockEv, Mutex* mutex) {
  __real__ZN4absl7debian35Mutex10ReaderLockEv(mutex);
  __tsan_acquire(mutex);
}

DEMORL_WRAP(void, _ZN4absl7debian35Mutex12ReaderUnlockEv, Mutex* mutex) {
  __tsan_release(mutex);
  __real__ZN4absl7debian35Mutex12ReaderUnlockEv(mutex);
}

DEMORL_WRAP(void, _ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE, Mutex* mutex, const Condition& condition) {
  return Wait(true, __real__ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE, mutex, condition);
}

DEMORL_WRAP(bool, _ZN4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE, Mutex* mutex,
            const Condition& condition, Duration timeout) {
  return Wait(true, __real__ZN4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE, mutex,
              condition, timeout);
}

DEMORL_WRAP(bool, _ZN4absl7debian35Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE, Mutex* mutex,
            const Condition& condition, Time deadline) {
  return Wait(true, __real__ZN4absl7debian35Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE, mutex,
              condition, deadline);
}

DEMORL_WRAP(void, _ZN4absl7debian35Mutex8LockWhenERKNS0_9ConditionE, Mutex* mutex,
            const Condition& condition) {
  return Wait(false, __real__ZN4absl7debian35Mutex8LockWhenERKNS0_9ConditionE, mutex, condition);
}

DEMORL_WRAP(bool, _ZN4absl7debian35Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE, Mutex* mutex,
            const Condition& condition, Duration timeout) {
  return Wait(false, __real__ZN4absl7debian35Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE,
              mutex, condition, timeout);
}

DEMORL_WRAP(bool, _ZN4absl7debian35Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE, Mutex* mutex,
            const Condition& condition, Time deadline) {
  return Wait(false, __real__ZN4absl7debian35Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE, mutex,
              condition, deadline);
}

DEMORL_WRAP(void, _ZN4absl7debian35Mutex14ReaderLockWhenERKNS0_9ConditionE, Mutex* mutex,
            const Condition& condition) {
  return Wait(false, __real__ZN4absl7debian35Mutex14ReaderLockWhenERKNS0_9ConditionE, mutex, condition);
}

DEMORL_WRAP(void, _ZN4absl7debian37CondVar4WaitEPNS0_5MutexE, CondVar* variable, Mutex* mutex) {
  __tsan_release(mutex);
  __real__ZN4absl7debian37CondVar4WaitEPNS0_5MutexE(variable, mutex);
  __tsan_acquire(mutex);
}

DEMORL_WRAP(bool, _ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE, CondVar* variable,
            Mutex* mutex, Duration timeout) {
  __tsan_release(mutex);
  AcquireAtExit acquire{mutex};
  return __real__ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE(variable, mutex,
                                                                                     timeout);
}

DEMORL_WRAP(bool, _ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE, CondVar* variable,
            Mutex* mutex, Time deadline) {
  __tsan_release(mutex);
  AcquireAtExit acquire{mutex};
  return __real__ZN4absl7debian37CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE(variable, mutex, deadline);
}

DEMORL_WRAP(void, _ZN4absl7debian319ReleasableMutexLock7ReleaseEv, ReleasableMutexLock* lock) {
  __tsan_release(*reinterpret_cast<Mutex**>(lock));  // its only member
  __real__ZN4absl7debian319ReleasableMutexLock7ReleaseEv(lock);
}

DEMORL_WRAP(void, _ZN4absl7debian312Notification6NotifyEv, Notification* notification) {
  __tsan_release(FlagOf(notification));
  __real__ZN4absl7debian312Notification6NotifyEv(notification);
}

DEMORL_WRAP(void, _ZNK4absl7debian312Notification19WaitForNotificationEv, Notification* notification) {
  __real__ZNK4absl7debian312Notification19WaitForNotificationEv(notification);
  __tsan_acquire(FlagOf(notification));
}

DEMORL_WRAP(bool, _ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE,
            Notification* notification, Duration timeout) {
  const bool notified = __real__ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE(
      notification, timeout);
  if (notified) __tsan_acquire(FlagOf(notification));
  return notified;
}

DEMORL_WRAP(bool, _ZNK4absl7debian312Notification31WaitForNotificationWithDeadlineENS0_4TimeE,
            Notification* notification, Time deadline) {
  const bool notified = __real__ZNK4absl7debian312Notification31WaitForNotificationWithDeadlineENS0_4TimeE(
      notification, deadline);
  if (notified) __tsan_acquire(FlagOf(notification));
  return notified;
}

DEMORL_WRAP(bool, _ZN4absl7debian315BlockingCounter14DecrementCountEv, BlockingCounter* counter) {
  __tsan_release(counter);
  AcquireAtExit acquire{counter};
  return __real__ZN4absl7debian315BlockingCounter14DecrementCountEv(counter);
}

DEMORL_WRAP(void, _ZN4absl7debian315BlockingCounter4WaitEv, BlockingCounter* counter) {
  __real__ZN4absl7debian315BlockingCounter4WaitEv(counter);
  __tsan_acquire(counter);
}

DEMORL_WRAP(bool, _ZN4absl7debian37Barrier5BlockEv, Barrier* barrier) {
  __tsan_release(barrier);
  AcquireAtExit acquire{barrier};
  return __real__ZN4absl7debian37Barrier5BlockEv(barrier);
}
