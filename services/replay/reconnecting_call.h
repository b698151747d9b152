#pragma once

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/random/random.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "grpcpp/alarm.h"
#include "grpcpp/support/status.h"

namespace demorl {

// What the client's streams share: one stream at a time, re-made after a failure with jittered back-off of at
// most 1 s, until it is closed or the server gives a reason that trying again does not mend. Thread-safe.
//
// Streams and the alarm borrow it, and Shutdown waits for their end: nothing that holds the channel may be
// let go by a thread of gRPC, for the last one to go joins those threads.
class ReconnectingCall {
 public:
  explicit ReconnectingCall(std::string what) : what_(std::move(what)) {}
  virtual ~ReconnectingCall() = default;

  // Makes the first stream.
  void Open();

  // Wakes blocked calls and cancels the stream.
  void Close();

  // Close, and wait until no stream and no alarm is left. Before destruction.
  void Shutdown();

 protected:
  // Starts a new stream. At its end, once, it calls StreamEnding, deletes itself, and calls StreamEnded as
  // the last thing.
  virtual void StartStream() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) = 0;
  // Cancels the stream that StartStream made; not called once that is ending.
  virtual void CancelStream() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) = 0;
  // Drops what belonged to the stream, which is about to go.
  virtual void OnStreamEnding() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {}

  void StreamEnding();
  void StreamEnded(const grpc::Status& status);
  // The server answered: the next back-off starts small.
  void StreamWorks() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { attempts_ = 0; }
  // Ends for good, as if the server had said so.
  void Fail(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  bool ended() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return closed_ || !failure_.ok(); }
  // Why nothing more will come: CANCELLED after Close, or the server's reason. OK while it may go on.
  absl::Status EndReason() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // DEADLINE_EXCEEDED saying what was waited for, and the last trouble with the connection.
  absl::Status DeadlineError(const std::string& waited_for) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;

 private:
  void StreamNow() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RetryLater() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnAlarm();
  bool Idle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !streaming_ && !alarm_set_; }

  const std::string what_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  absl::Status last_trouble_ ABSL_GUARDED_BY(mutex_);
  // A stream exists, or its end is not yet dealt with.
  bool streaming_ ABSL_GUARDED_BY(mutex_) = false;
  bool can_cancel_ ABSL_GUARDED_BY(mutex_) = false;
  bool alarm_set_ ABSL_GUARDED_BY(mutex_) = false;
  int attempts_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<grpc::Alarm> alarm_ ABSL_GUARDED_BY(mutex_);
  absl::BitGen jitter_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace demorl
