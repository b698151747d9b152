#pragma once

#include <memory>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "common/rpc/security/access_control.h"
#include "demorl/replay/v1/replay_service.pb.h"
#include "grpcpp/support/server_callback.h"
#include "services/replay/change_hub.h"
#include "services/replay/core/replay_core.h"

namespace demorl {

// One writer's stream: opens, takes chunks, answers with cumulative positions: when chunks have become
// durable, when many bytes have come that are not durable yet, and when more rows are allowed. Answers that
// were not sent yet melt into one. Owns itself until OnDone.
class AppendReactor final
    : public grpc::ServerBidiReactor<demorl::replay::v1::AppendRequest, demorl::replay::v1::AppendResponse>,
      public ChangeWaiter,
      public std::enable_shared_from_this<AppendReactor> {
 public:
  static AppendReactor* Start(ReplayCore* core, ChangeHub* hub, int64_t window_bytes, ObjectAccess access);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;
  bool OnChange() override;

 private:
  AppendReactor(ReplayCore* core, ChangeHub* hub, int64_t window_bytes, ObjectAccess access)
      : core_(core), hub_(hub), window_bytes_(window_bytes), access_(std::move(access)) {}

  absl::Status Take(const demorl::replay::v1::AppendRequest& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Open(const demorl::replay::v1::AppendOpen& open) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status TakeChunk(const demorl::replay::v1::SequencedChunk& chunk)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Answers if there is news for the writer, or finishes where that was asked for. What is only about the
  // rate limit may wait, for it goes to every writer at every update: false then.
  bool Answer(bool always) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Finishes, after the answer under way. The first reason counts.
  void FinishWith(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  ReplayCore* const core_;
  ChangeHub* const hub_;
  const int64_t window_bytes_;
  const ObjectAccess access_;
  std::shared_ptr<AppendReactor> self_;

  absl::Mutex mutex_;
  // In the hands of gRPC while a read or a write is under way.
  demorl::replay::v1::AppendRequest request_;
  demorl::replay::v1::AppendResponse response_;
  std::optional<WriterHandle> writer_ ABSL_GUARDED_BY(mutex_);
  int64_t quarantined_before_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t bytes_received_ ABSL_GUARDED_BY(mutex_) = 0;
  WriterPosition answered_ ABSL_GUARDED_BY(mutex_);
  absl::Duration answered_at_ ABSL_GUARDED_BY(mutex_);
  int64_t bytes_answered_ ABSL_GUARDED_BY(mutex_) = 0;
  bool answer_due_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> finish_ ABSL_GUARDED_BY(mutex_);
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace demorl
