#pragma once

#include <memory>
#include <vector>

#include "common/metrics/metrics.h"
#include "grpcpp/support/client_interceptor.h"
#include "grpcpp/support/server_interceptor.h"

namespace demorl {

// Interceptors that count calls by method, under the names that gRPC's middleware for Go made common:
// grpc_server_started_total, grpc_server_handled_total (by grpc_code), grpc_server_handling_seconds, and the
// same with grpc_client_. A stream counts as one call, from its start to its status. Borrow `metrics`.

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeServerCallMetrics(
    Metrics* metrics);

std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface> MakeClientCallMetrics(
    Metrics* metrics);

}  // namespace demorl
