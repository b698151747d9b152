#pragma once

#include "demorl/config/v1/security.pb.h"

namespace grpc {
class ServerBuilder;
}

namespace demorl {

// What a server takes before it refuses: sizes of messages and metadata, calls of one connection, memory of
// all of them, and how long a connection may take to become one. Also lets the process open as many files as
// the system allows, since gRPC 1.51 stops listening for good when it cannot accept for want of them; it has
// no way to count connections itself, so that max_connections is what the files must suffice for.
void ApplyLimits(const demorl::config::v1::ServerLimits& limits, grpc::ServerBuilder& builder);

}  // namespace demorl
