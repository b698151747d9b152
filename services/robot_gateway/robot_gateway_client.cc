#include "services/robot_gateway/robot_gateway_client.h"

#include <utility>

#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/rpc/grpc_status.h"
#include "demorl/gateway/v1/gateway_service.grpc.pb.h"
#include "grpcpp/client_context.h"
#include "services/robot_gateway/duration_proto.h"

namespace demorl {

namespace pb = ::demorl::gateway::v1;

namespace {

constexpr absl::Duration kTimeout = absl::Seconds(5);

}  // namespace

struct RobotGatewayClient::Impl {
  // Calls one unary method.
  template <typename Request, typename Response>
  absl::Status Call(grpc::Status (pb::GatewayService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                     Response*),
                    const Request& request, Response* response) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + kTimeout));
    return FromGrpcStatus((stub.get()->*method)(&context, request, response));
  }

  std::unique_ptr<pb::GatewayService::Stub> stub;
  std::string run_id;
};

RobotGatewayClient::RobotGatewayClient(std::shared_ptr<grpc::Channel> channel, std::string run_id)
    : impl_(new Impl{pb::GatewayService::NewStub(channel), std::move(run_id)}) {}

RobotGatewayClient::~RobotGatewayClient() = default;

absl::StatusOr<pb::ArmResponse> RobotGatewayClient::Arm(const std::string& holder,
                                                        absl::Duration lease_duration, pb::ArmMode mode) {
  pb::ArmRequest request;
  request.set_run_id(impl_->run_id);
  request.set_holder(holder);
  *request.mutable_lease_duration() = ToProto(lease_duration);
  request.set_mode(mode);
  pb::ArmResponse response;
  RETURN_IF_ERROR(impl_->Call(&pb::GatewayService::Stub::Arm, request, &response));
  return response;
}

absl::StatusOr<pb::RenewLeaseResponse> RobotGatewayClient::RenewLease(uint64_t lease_id) {
  pb::RenewLeaseRequest request;
  request.set_run_id(impl_->run_id);
  request.set_lease_id(lease_id);
  pb::RenewLeaseResponse response;
  RETURN_IF_ERROR(impl_->Call(&pb::GatewayService::Stub::RenewLease, request, &response));
  return response;
}

absl::Status RobotGatewayClient::Disarm() {
  pb::DisarmRequest request;
  request.set_run_id(impl_->run_id);
  pb::DisarmResponse response;
  return impl_->Call(&pb::GatewayService::Stub::Disarm, request, &response);
}

absl::Status RobotGatewayClient::EmergencyStop(const std::string& origin) {
  pb::EmergencyStopRequest request;
  request.set_origin(origin);
  pb::EmergencyStopResponse response;
  return impl_->Call(&pb::GatewayService::Stub::EmergencyStop, request, &response);
}

absl::Status RobotGatewayClient::ClearFault() {
  pb::ClearFaultRequest request;
  request.set_run_id(impl_->run_id);
  pb::ClearFaultResponse response;
  return impl_->Call(&pb::GatewayService::Stub::ClearFault, request, &response);
}

absl::Status RobotGatewayClient::Jog(uint64_t lease_id, int joint, double velocity_rad_s,
                                     absl::Duration duration) {
  pb::JogRequest request;
  request.set_run_id(impl_->run_id);
  request.set_lease_id(lease_id);
  request.set_joint(static_cast<uint32_t>(joint));
  request.set_velocity_rad_s(velocity_rad_s);
  *request.mutable_duration() = ToProto(duration);
  pb::JogResponse response;
  return impl_->Call(&pb::GatewayService::Stub::Jog, request, &response);
}

absl::Status RobotGatewayClient::Intervene(uint64_t lease_id, const std::vector<float>& action,
                                           absl::Duration duration) {
  pb::InterveneRequest request;
  request.set_run_id(impl_->run_id);
  request.set_lease_id(lease_id);
  request.mutable_action()->Assign(action.begin(), action.end());
  *request.mutable_duration() = ToProto(duration);
  pb::InterveneResponse response;
  return impl_->Call(&pb::GatewayService::Stub::Intervene, request, &response);
}

absl::StatusOr<pb::WatchStateResponse> RobotGatewayClient::GetState() {
  pb::WatchStateRequest request;
  pb::WatchStateResponse response;
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(absl::Now() + kTimeout));
  const auto stream = impl_->stub->WatchState(&context, request);
  if (!stream->Read(&response)) {
    return FromGrpcStatus(stream->Finish());
  }
  context.TryCancel();
  return response;
}

absl::Status RobotGatewayClient::WatchState(absl::Duration interval,
                                            const std::function<bool(const pb::WatchStateResponse&)>& visit) {
  pb::WatchStateRequest request;
  *request.mutable_interval() = ToProto(interval);
  grpc::ClientContext context;
  const auto stream = impl_->stub->WatchState(&context, request);
  pb::WatchStateResponse response;
  while (stream->Read(&response)) {
    if (!visit(response)) {
      context.TryCancel();
      return absl::OkStatus();
    }
  }
  return FromGrpcStatus(stream->Finish());
}

}  // namespace demorl
