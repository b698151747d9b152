#include "services/replay/replay_service.h"

#include <utility>

#include "common/base/status_macros.h"
#include "common/rpc/grpc_status.h"
#include "services/replay/append_reactor.h"
#include "services/replay/replay_messages.h"
#include "services/replay/sample_reactor.h"
#include "services/replay/tail_reactor.h"

namespace demorl {
namespace {

namespace pb = ::demorl::replay::v1;

grpc::ServerUnaryReactor* FinishWith(grpc::CallbackServerContext* context, const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

absl::StatusOr<int64_t> PurgeRows(ReplayCore* core, const pb::PurgeRequest& request) {
  RETURN_IF_ERROR(core->CheckRun(request.run_id()));
  switch (request.filter_case()) {
    case pb::PurgeRequest::kDynamicsVersion:
      return core->PurgeDynamicsVersion(request.table(), request.dynamics_version());
    case pb::PurgeRequest::kBeforeKey:
      return core->PurgeBefore(request.table(), request.before_key());
    default:
      return absl::InvalidArgumentError("a purge without a filter; want dynamics_version or before_key");
  }
}

}  // namespace

ReplayService::ReplayService(ReplayCore* core, int64_t append_window_bytes,
                             std::shared_ptr<AccessControl> access)
    : core_(core), append_window_bytes_(append_window_bytes), access_(std::move(access)) {
  core_->SetChangeListener([this] { hub_.Signal(); });
}

grpc::ServerBidiReactor<pb::AppendRequest, pb::AppendResponse>* ReplayService::Append(
    grpc::CallbackServerContext* context) {
  return AppendReactor::Start(core_, &hub_, append_window_bytes_,
                              AccessOfCall(access_.get(), *context, "demorl.replay.v1.ReplayService/Append"));
}

grpc::ServerBidiReactor<pb::SampleRequest, pb::SampleResponse>* ReplayService::Sample(
    grpc::CallbackServerContext* context) {
  return SampleReactor::Start(core_, &hub_,
                              AccessOfCall(access_.get(), *context, "demorl.replay.v1.ReplayService/Sample"));
}

grpc::ServerWriteReactor<pb::TailResponse>* ReplayService::Tail(grpc::CallbackServerContext* context,
                                                                const pb::TailRequest* request) {
  return TailReactor::Start(core_, &hub_, *request,
                            AccessOfCall(access_.get(), *context, "demorl.replay.v1.ReplayService/Tail"));
}

grpc::ServerUnaryReactor* ReplayService::UpdatePriorities(grpc::CallbackServerContext* context,
                                                          const pb::UpdatePrioritiesRequest* request,
                                                          pb::UpdatePrioritiesResponse* response) {
  absl::Status status = core_->CheckRun(request->run_id());
  if (status.ok()) {
    const absl::StatusOr<int64_t> updated =
        core_->UpdatePriorities(request->table(), {request->keys().begin(), request->keys().end()},
                                {request->priorities().begin(), request->priorities().end()});
    status = updated.status();
    response->set_rows_updated(static_cast<uint64_t>(updated.value_or(0)));
  }
  return FinishWith(context, status);
}

grpc::ServerUnaryReactor* ReplayService::Purge(grpc::CallbackServerContext* context,
                                               const pb::PurgeRequest* request, pb::PurgeResponse* response) {
  const absl::StatusOr<int64_t> removed = PurgeRows(core_, *request);
  if (!removed.ok()) {
    return FinishWith(context, removed.status());
  }
  response->set_rows_removed(static_cast<uint64_t>(*removed));
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  core_->WhenDurable([reactor](const absl::Status& status) { reactor->Finish(ToGrpcStatus(status)); });
  return reactor;
}

grpc::ServerUnaryReactor* ReplayService::ClaimRound(grpc::CallbackServerContext* context,
                                                    const pb::ClaimRoundRequest* request,
                                                    pb::ClaimRoundResponse* response) {
  absl::Status status = core_->CheckRun(request->run_id());
  if (status.ok()) {
    const absl::StatusOr<RoundShare> share = core_->ClaimRound(request->table(), DecodeRoundClaim(*request));
    status = share.status();
    if (share.ok()) {
      response->set_planning_round(share->planning_round);
      response->set_start_states(static_cast<uint32_t>(share->start_states));
    }
  }
  return FinishWith(context, status);
}

grpc::ServerUnaryReactor* ReplayService::ListTables(grpc::CallbackServerContext* context,
                                                    const pb::ListTablesRequest*,
                                                    pb::ListTablesResponse* response) {
  response->set_run_id(core_->options().run_id);
  for (const TableSummary& table : core_->DescribeAll()) {
    *response->add_tables() = EncodeTableInfo(table);
  }
  return FinishWith(context, absl::OkStatus());
}

grpc::ServerUnaryReactor* ReplayService::GetTable(grpc::CallbackServerContext* context,
                                                  const pb::GetTableRequest* request,
                                                  pb::GetTableResponse* response) {
  const absl::StatusOr<TableSummary> table = core_->Describe(request->table());
  if (table.ok()) {
    *response->mutable_table() = EncodeTableInfo(*table);
  }
  return FinishWith(context, table.status());
}

grpc::ServerUnaryReactor* ReplayService::Audit(grpc::CallbackServerContext* context,
                                               const pb::AuditRequest* request, pb::AuditResponse* response) {
  const absl::Status status = core_->CheckRun(request->run_id());
  if (status.ok()) {
    const AuditReport report = core_->Audit();
    for (const WriterSummary& writer : report.writers) {
      *response->add_writers() = EncodeWriterAudit(writer);
    }
    response->mutable_violations()->Assign(report.violations.begin(), report.violations.end());
  }
  return FinishWith(context, status);
}

grpc::ServerUnaryReactor* ReplayService::CreateCheckpoint(grpc::CallbackServerContext* context,
                                                          const pb::CreateCheckpointRequest* request,
                                                          pb::CreateCheckpointResponse* response) {
  const absl::Status status = core_->CheckRun(request->run_id());
  if (!status.ok()) {
    return FinishWith(context, status);
  }
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  core_->CreateCheckpoint([reactor, response](const absl::StatusOr<CheckpointInfo>& checkpoint) {
    if (checkpoint.ok()) {
      response->set_path(checkpoint->path);
      for (const auto& [table, rows] : checkpoint->rows_inserted) {
        (*response->mutable_rows_inserted())[table] = static_cast<uint64_t>(rows);
      }
    }
    reactor->Finish(ToGrpcStatus(checkpoint.status()));
  });
  return reactor;
}

}  // namespace demorl
