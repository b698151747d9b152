#include "services/replay/replay_client.h"

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/rpc/grpc_status.h"
#include "common/tensor/transition_codec.h"
#include "grpcpp/client_context.h"
#include "services/replay/client_streams.h"

namespace demorl {
namespace {

namespace pb = ::demorl::replay::v1;

// A checkpoint or a durable purge may have to wait for the disk.
constexpr absl::Duration kCallTimeout = absl::Seconds(30);

}  // namespace

struct ReplayClient::Impl {
  std::shared_ptr<pb::ReplayService::Stub> stub;
  std::string run_id;

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (pb::ReplayService::Stub::*method)(grpc::ClientContext*,
                                                                                const Request&, Response*),
                                const Request& request) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + kCallTimeout));
    context.set_wait_for_ready(true);
    Response response;
    RETURN_IF_ERROR(FromGrpcStatus((stub.get()->*method)(&context, request, &response)));
    return response;
  }
};

ReplayClient::ReplayClient(std::shared_ptr<grpc::Channel> channel, std::string run_id)
    : impl_(new Impl{.stub = pb::ReplayService::NewStub(channel), .run_id = std::move(run_id)}) {}

ReplayClient::~ReplayClient() = default;

std::unique_ptr<ReplayWriter> ReplayClient::OpenWriter(const ReplayWriterOptions& options) {
  return MakeReplayWriter(impl_->stub, impl_->run_id, options);
}

std::unique_ptr<BatchSampler> ReplayClient::OpenSampler(const BatchSamplerOptions& options) {
  return MakeBatchSampler(impl_->stub, impl_->run_id, options);
}

std::unique_ptr<TableTail> ReplayClient::OpenTail(const std::string& table, uint64_t position) {
  return MakeTableTail(impl_->stub, impl_->run_id, table, position);
}

absl::StatusOr<pb::TableInfo> ReplayClient::GetTable(const std::string& table) {
  pb::GetTableRequest request;
  request.set_table(table);
  ASSIGN_OR_RETURN(pb::GetTableResponse response, impl_->Call(&pb::ReplayService::Stub::GetTable, request));
  return std::move(*response.mutable_table());
}

absl::StatusOr<EnvironmentSpec> ReplayClient::GetEnvironment(const std::string& table) {
  ASSIGN_OR_RETURN(const pb::TableInfo info, GetTable(table));
  if (!info.has_environment() || info.environment().environment_id().empty()) {
    return absl::UnavailableError(
        absl::StrCat("no actor has described the environment of table '", table, "' yet"));
  }
  return DecodeEnvironmentSpec(info.environment());
}

absl::StatusOr<pb::ListTablesResponse> ReplayClient::ListTables() {
  return impl_->Call(&pb::ReplayService::Stub::ListTables, pb::ListTablesRequest());
}

absl::StatusOr<RoundShare> ReplayClient::ClaimRound(const std::string& table, const RoundClaim& claim) {
  pb::ClaimRoundRequest request;
  request.set_run_id(impl_->run_id);
  request.set_table(table);
  request.set_planner_id(claim.planner_id);
  request.set_dynamics_version(claim.dynamics_version);
  request.set_rounds_per_version(static_cast<uint32_t>(claim.rounds_per_version));
  request.set_start_states_per_round(static_cast<uint32_t>(claim.start_states_per_round));
  request.set_finished(claim.finished);
  request.mutable_lease()->set_seconds(absl::ToInt64Seconds(claim.lease));
  ASSIGN_OR_RETURN(const pb::ClaimRoundResponse response,
                   impl_->Call(&pb::ReplayService::Stub::ClaimRound, request));
  return RoundShare{.planning_round = response.planning_round(), .start_states = response.start_states()};
}

absl::StatusOr<int64_t> ReplayClient::PurgeDynamicsVersion(const std::string& table,
                                                           uint64_t dynamics_version) {
  pb::PurgeRequest request;
  request.set_run_id(impl_->run_id);
  request.set_table(table);
  request.set_dynamics_version(dynamics_version);
  ASSIGN_OR_RETURN(const pb::PurgeResponse response, impl_->Call(&pb::ReplayService::Stub::Purge, request));
  return static_cast<int64_t>(response.rows_removed());
}

absl::StatusOr<pb::AuditResponse> ReplayClient::Audit() {
  pb::AuditRequest request;
  request.set_run_id(impl_->run_id);
  return impl_->Call(&pb::ReplayService::Stub::Audit, request);
}

absl::StatusOr<pb::CreateCheckpointResponse> ReplayClient::CreateCheckpoint() {
  pb::CreateCheckpointRequest request;
  request.set_run_id(impl_->run_id);
  return impl_->Call(&pb::ReplayService::Stub::CreateCheckpoint, request);
}

}  // namespace demorl
