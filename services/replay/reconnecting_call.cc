#include "services/replay/reconnecting_call.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/rpc/grpc_status.h"

namespace demorl {
namespace {

constexpr absl::Duration kFirstBackoff = absl::Milliseconds(10);
constexpr absl::Duration kLargestBackoff = absl::Seconds(1);

// Whether trying again may help.
bool IsTransient(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:  // the server ended the stream
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
      return true;
    default:
      return false;
  }
}

}  // namespace

void ReconnectingCall::Open() {
  absl::MutexLock lock(&mutex_);
  StreamNow();
}

void ReconnectingCall::StreamNow() {
  streaming_ = can_cancel_ = true;
  StartStream();
}

void ReconnectingCall::Close() {
  absl::MutexLock lock(&mutex_);
  if (closed_) {
    return;
  }
  closed_ = true;
  if (can_cancel_) {
    CancelStream();
  }
  if (alarm_set_) {
    alarm_->Cancel();
  }
}

void ReconnectingCall::Shutdown() {
  Close();
  std::unique_ptr<grpc::Alarm> alarm;  // destroyed without the lock
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(this, &ReconnectingCall::Idle));
  alarm = std::move(alarm_);
}

void ReconnectingCall::StreamEnding() {
  absl::MutexLock lock(&mutex_);
  can_cancel_ = false;
  OnStreamEnding();
}

void ReconnectingCall::StreamEnded(const grpc::Status& grpc_status) {
  const absl::Status status = FromGrpcStatus(grpc_status);
  absl::MutexLock lock(&mutex_);
  streaming_ = false;
  last_trouble_ = status;
  if (!IsTransient(status) && failure_.ok()) {
    failure_ = status;
  }
  if (!ended()) {
    RetryLater();
  }
}

void ReconnectingCall::Fail(const absl::Status& status) {
  if (failure_.ok()) {
    failure_ = status;
  }
  if (can_cancel_) {
    CancelStream();
  }
}

void ReconnectingCall::RetryLater() {
  const absl::Duration longest =
      std::min(kFirstBackoff * static_cast<double>(1 << std::min(attempts_, 10)), kLargestBackoff);
  ++attempts_;
  const absl::Duration delay = longest * absl::Uniform(jitter_, 0.5, 1.0);
  alarm_ = std::make_unique<grpc::Alarm>();
  alarm_set_ = true;
  alarm_->Set(absl::ToChronoTime(absl::Now() + delay), [this](bool) { OnAlarm(); });
}

void ReconnectingCall::OnAlarm() {
  absl::MutexLock lock(&mutex_);
  alarm_set_ = false;
  if (!ended()) {
    StreamNow();
  }
}

absl::Status ReconnectingCall::EndReason() const {
  return closed_ ? absl::CancelledError(absl::StrCat(what_, " is closed")) : failure_;
}

absl::Status ReconnectingCall::DeadlineError(const std::string& waited_for) const {
  const std::string trouble =
      last_trouble_.ok() ? "" : absl::StrCat("; last trouble with replay: ", last_trouble_.ToString());
  return absl::DeadlineExceededError(absl::StrCat(what_, " waited for ", waited_for, trouble));
}

}  // namespace demorl
