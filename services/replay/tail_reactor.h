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

// One reader that follows a table. It keeps a position, not rows: a slow reader costs one message of memory
// and skips what leaves the table meanwhile. Owns itself until OnDone.
class TailReactor final : public grpc::ServerWriteReactor<demorl::replay::v1::TailResponse>,
                          public ChangeWaiter,
                          public std::enable_shared_from_this<TailReactor> {
 public:
  static TailReactor* Start(ReplayCore* core, ChangeHub* hub, const demorl::replay::v1::TailRequest& request,
                            const ObjectAccess& access);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;
  bool OnChange() override;

 private:
  TailReactor(ReplayCore* core, ChangeHub* hub, const demorl::replay::v1::TailRequest& request);

  void SendIfAny() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Finishes, after the rows under way. The first reason counts.
  void FinishWith(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  ReplayCore* const core_;
  ChangeHub* const hub_;
  const std::string table_;
  const int64_t max_rows_;
  std::shared_ptr<TailReactor> self_;

  absl::Mutex mutex_;
  // In the hands of gRPC while a write is under way.
  demorl::replay::v1::TailResponse response_;
  uint64_t position_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> finish_ ABSL_GUARDED_BY(mutex_);
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace demorl
