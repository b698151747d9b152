#pragma once

#include <memory>

#include "common/rpc/security/call_gate.h"
#include "grpcpp/impl/service_type.h"
#include "grpcpp/support/server_interceptor.h"

namespace demorl {

// The methods of a service with a gate before their handlers: a call that it does not admit ends with the
// gate's status, and its handler does not run. To be registered in the service's place; borrows it.
//
// gRPC has a place of its own for this, the AuthMetadataProcessor. That of 1.51 ends the process when a
// client sends the header "grpclb_client_stats" (CVE-2023-1428).
class GatedService final : public grpc::Service {
 public:
  GatedService(grpc::Service& service, std::shared_ptr<CallGate> gate);
};

// The gate of what gRPC itself serves, health and reflection: a call that is not admitted is cancelled before
// its handler answers. Handlers still run, which is harmless for these alone.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeBuiltInGate(
    std::shared_ptr<CallGate> gate);

}  // namespace demorl
