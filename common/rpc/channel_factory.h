#pragma once

#include <memory>
#include <string>

#include "common/metrics/metrics.h"
#include "common/rpc/security/transport_security.h"
#include "grpcpp/channel.h"

namespace demorl {

// A channel with our message size limit (64 MiB), keepalive (a vanished peer is noticed within 10 s) and
// reconnection back-off of at most 1 s. Calls go in turn to all servers that `address` stands for
// ("host:port", or a target of gRPC's: "dns:///planners:50051"), which is asked again whenever a connection
// ends, at most every 5 s. Does not block. `metrics` counts its calls, outlives it and may be null;
// `security` says how it speaks, plain text where it is null.
std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address, Metrics* metrics = nullptr,
                                           const TransportSecurity* security = nullptr);

}  // namespace demorl
