#include "common/rpc/security/gated_service.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "common/rpc/grpc_status.h"
#include "grpc/grpc.h"
#include "grpcpp/impl/rpc_service_method.h"
#include "grpcpp/server_context.h"

namespace demorl {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;
using grpc::experimental::ServerRpcInfo;
using grpc::internal::MethodHandler;
using grpc::internal::RpcServiceMethod;

using Methods = std::vector<std::unique_ptr<RpcServiceMethod>>;
Methods& MethodsOf(grpc::Service& service);

// A service tells its methods to gRPC's server alone. Names in an explicit instantiation are not subject to
// access control ([temp.spec]).
template <Methods grpc::Service::*kMethods>
struct Opener {
  friend Methods& MethodsOf(grpc::Service& service) { return service.*kMethods; }
};
template struct Opener<&grpc::Service::methods_>;

// The client hears this status, whatever the handler answers later.
void End(const grpc::ServerContextBase& call, const absl::Status& status) {
  grpc_call_cancel_with_status(const_cast<grpc::ServerContextBase&>(call).c_call(),
                               static_cast<grpc_status_code>(status.raw_code()),
                               std::string(status.message()).c_str(), nullptr);
}

class GatedHandler final : public MethodHandler {
 public:
  GatedHandler(MethodHandler& handler, const char* method, std::shared_ptr<CallGate> gate)
      : handler_(handler), method_(method), gate_(std::move(gate)) {}

  void RunHandler(const HandlerParameter& call) override {
    const absl::Status status = gate_->Admit(*call.server_context, method_);
    if (status.ok()) {
      handler_.RunHandler(call);
      return;
    }
    End(*call.server_context, status);
    // As if its request could not be read: the handler frees what belongs to the call, and calls nobody.
    handler_.RunHandler(HandlerParameter(call.call, call.server_context, call.request, ToGrpcStatus(status),
                                         call.internal_data, call.call_requester));
  }

  void* Deserialize(grpc_call* call, grpc_byte_buffer* request, grpc::Status* status, void** data) override {
    return handler_.Deserialize(call, request, status, data);
  }

 private:
  MethodHandler& handler_;
  const char* const method_;
  const std::shared_ptr<CallGate> gate_;
};

class Interceptor final : public grpc::experimental::Interceptor {
 public:
  Interceptor(CallGate& gate, ServerRpcInfo* call) : gate_(gate), call_(*call) {}

  void Intercept(InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      const absl::Status status = gate_.Admit(*call_.server_context(), call_.method());
      if (!status.ok()) {
        End(*call_.server_context(), status);
      }
    }
    methods->Proceed();
  }

 private:
  CallGate& gate_;
  ServerRpcInfo& call_;
};

class InterceptorFactory final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit InterceptorFactory(std::shared_ptr<CallGate> gate) : gate_(std::move(gate)) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(ServerRpcInfo* call) override {
    return absl::StartsWith(call->method(), "/grpc.") ? new Interceptor(*gate_, call) : nullptr;
  }

 private:
  const std::shared_ptr<CallGate> gate_;
};

}  // namespace

GatedService::GatedService(grpc::Service& service, std::shared_ptr<CallGate> gate) {
  for (const std::unique_ptr<RpcServiceMethod>& method : MethodsOf(service)) {
    auto gated = std::make_unique<RpcServiceMethod>(
        method->name(), method->method_type(), new GatedHandler(*method->handler(), method->name(), gate));
    gated->SetServerApiType(method->api_type());
    AddMethod(gated.release());
  }
}

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeBuiltInGate(
    std::shared_ptr<CallGate> gate) {
  return std::make_unique<InterceptorFactory>(std::move(gate));
}

}  // namespace demorl
