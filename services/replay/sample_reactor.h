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

// One sampler's stream: draws a batch per credit, one message under way at a time; waits in the hub while the
// core would block. Owns itself until OnDone.
class SampleReactor final
    : public grpc::ServerBidiReactor<demorl::replay::v1::SampleRequest, demorl::replay::v1::SampleResponse>,
      public ChangeWaiter,
      public std::enable_shared_from_this<SampleReactor> {
 public:
  static SampleReactor* Start(ReplayCore* core, ChangeHub* hub, ObjectAccess access);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;
  bool OnChange() override;

 private:
  SampleReactor(ReplayCore* core, ChangeHub* hub, ObjectAccess access)
      : core_(core), hub_(hub), access_(std::move(access)) {}

  absl::Status Take(const demorl::replay::v1::SampleRequest& request) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DrawIfWanted() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetWaiting(bool waiting) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Finishes, after the batch under way. The first reason counts.
  void FinishWith(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  ReplayCore* const core_;
  ChangeHub* const hub_;
  const ObjectAccess access_;
  std::shared_ptr<SampleReactor> self_;

  absl::Mutex mutex_;
  // In the hands of gRPC while a read or a write is under way.
  demorl::replay::v1::SampleRequest request_;
  demorl::replay::v1::SampleResponse response_;
  BatchSpec spec_ ABSL_GUARDED_BY(mutex_);
  int64_t credits_ ABSL_GUARDED_BY(mutex_) = 0;
  // Table whose samplers this one is counted with while it waits; empty while it does not.
  std::string waiting_for_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> finish_ ABSL_GUARDED_BY(mutex_);
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace demorl
