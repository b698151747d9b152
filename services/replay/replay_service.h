#pragma once

#include "common/rpc/security/access_control.h"
#include "demorl/replay/v1/replay_service.grpc.pb.h"
#include "services/replay/change_hub.h"
#include "services/replay/core/replay_core.h"

namespace demorl {

// The RPC skin of a replay core: checks, calls the core, maps the status, fills the reply. Borrows the core,
// and is its change listener. Thread-safe.
class ReplayService final : public demorl::replay::v1::ReplayService::CallbackService {
 public:
  // `append_window_bytes`: chunks that a writer may have under way. `access` is null where everybody may do
  // everything.
  ReplayService(ReplayCore* core, int64_t append_window_bytes,
                std::shared_ptr<AccessControl> access = nullptr);

  // First step of a stop: every stream finishes with UNAVAILABLE, so that its client comes back later.
  void EndStreams() { hub_.EndStreams(); }
  int num_streams() const { return hub_.size(); }

  grpc::ServerBidiReactor<demorl::replay::v1::AppendRequest, demorl::replay::v1::AppendResponse>* Append(
      grpc::CallbackServerContext* context) override;
  grpc::ServerBidiReactor<demorl::replay::v1::SampleRequest, demorl::replay::v1::SampleResponse>* Sample(
      grpc::CallbackServerContext* context) override;
  grpc::ServerWriteReactor<demorl::replay::v1::TailResponse>* Tail(
      grpc::CallbackServerContext* context, const demorl::replay::v1::TailRequest* request) override;
  grpc::ServerUnaryReactor* UpdatePriorities(grpc::CallbackServerContext* context,
                                             const demorl::replay::v1::UpdatePrioritiesRequest* request,
                                             demorl::replay::v1::UpdatePrioritiesResponse* response) override;
  grpc::ServerUnaryReactor* Purge(grpc::CallbackServerContext* context,
                                  const demorl::replay::v1::PurgeRequest* request,
                                  demorl::replay::v1::PurgeResponse* response) override;
  grpc::ServerUnaryReactor* ClaimRound(grpc::CallbackServerContext* context,
                                       const demorl::replay::v1::ClaimRoundRequest* request,
                                       demorl::replay::v1::ClaimRoundResponse* response) override;
  grpc::ServerUnaryReactor* ListTables(grpc::CallbackServerContext* context,
                                       const demorl::replay::v1::ListTablesRequest* request,
                                       demorl::replay::v1::ListTablesResponse* response) override;
  grpc::ServerUnaryReactor* GetTable(grpc::CallbackServerContext* context,
                                     const demorl::replay::v1::GetTableRequest* request,
                                     demorl::replay::v1::GetTableResponse* response) override;
  grpc::ServerUnaryReactor* Audit(grpc::CallbackServerContext* context,
                                  const demorl::replay::v1::AuditRequest* request,
                                  demorl::replay::v1::AuditResponse* response) override;
  grpc::ServerUnaryReactor* CreateCheckpoint(grpc::CallbackServerContext* context,
                                             const demorl::replay::v1::CreateCheckpointRequest* request,
                                             demorl::replay::v1::CreateCheckpointResponse* response) override;

 private:
  ReplayCore* const core_;
  const int64_t append_window_bytes_;
  const std::shared_ptr<AccessControl> access_;
  ChangeHub hub_;
};

}  // namespace demorl
