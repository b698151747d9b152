#include "services/cli/control_client.h"

#include "absl/time/clock.h"
#include "common/rpc/grpc_status.h"
#include "demorl/control/v1/control_service.grpc.pb.h"
#include "grpcpp/client_context.h"

namespace demorl {

namespace pb = ::demorl::control::v1;

struct ControlClient::Impl {
  std::unique_ptr<pb::ControlService::Stub> stub;

  // One unary call with a deadline.
  template <typename Method, typename Request, typename Response>
  absl::Status Call(Method method, absl::Duration timeout, const Request& request, Response* response) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
    return FromGrpcStatus((stub.get()->*method)(&context, request, response));
  }
};

ControlClient::ControlClient(std::shared_ptr<grpc::Channel> channel) : impl_(std::make_unique<Impl>()) {
  impl_->stub = pb::ControlService::NewStub(channel);
}

ControlClient::~ControlClient() = default;

absl::StatusOr<pb::GetStatusResponse> ControlClient::GetStatus(absl::Duration timeout) {
  pb::GetStatusResponse response;
  const absl::Status status =
      impl_->Call(&pb::ControlService::Stub::GetStatus, timeout, pb::GetStatusRequest(), &response);
  if (!status.ok()) {
    return status;
  }
  return response;
}

absl::Status ControlClient::Pause() {
  pb::PauseResponse response;
  return impl_->Call(&pb::ControlService::Stub::Pause, absl::Seconds(10), pb::PauseRequest(), &response);
}

absl::Status ControlClient::Resume() {
  pb::ResumeResponse response;
  return impl_->Call(&pb::ControlService::Stub::Resume, absl::Seconds(10), pb::ResumeRequest(), &response);
}

absl::StatusOr<std::string> ControlClient::Checkpoint(absl::Duration timeout) {
  pb::CheckpointResponse response;
  const absl::Status status =
      impl_->Call(&pb::ControlService::Stub::Checkpoint, timeout, pb::CheckpointRequest(), &response);
  if (!status.ok()) {
    return status;
  }
  return response.path();
}

absl::Status ControlClient::Drain() {
  pb::DrainResponse response;
  return impl_->Call(&pb::ControlService::Stub::Drain, absl::Seconds(10), pb::DrainRequest(), &response);
}

}  // namespace demorl
