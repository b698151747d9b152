#pragma once

#include <memory>
#include <string>
#include <utility>

#include "common/metrics/metrics.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/support/server_interceptor.h"

namespace demorl {

// What lets calls in without asking who calls. Of one server.
struct PlainTextGate {
  std::shared_ptr<grpc::ServerCredentials> credentials;
  std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> interceptor;
};

// Refuses with RESOURCE_EXHAUSTED, before their handler, the calls of an address that begins more than
// `max_calls_per_second` (0 for any number). What gRPC asks before a handler knows the connection and not its
// address, which calls that were let in tell: the first call of a connection always is. Borrows `metrics`,
// which may be null.
PlainTextGate MakePlainTextGate(double max_calls_per_second, Metrics* metrics);

// "10.0.0.7" of gRPC's "ipv4:10.0.0.7:51034", "::1" of "ipv6:[::1]:51034" with its brackets as they are or
// escaped; others as they are.
std::string AddressOfPeer(const std::string& peer);

}  // namespace demorl
