#pragma once

#include "demorl/config/v1/security.pb.h"

namespace grpc {
class ServerBuilder;
}

namespace demorl {

// What a server takes before it refuses: sizes of messages and metadata, calls of one connection, memory of
// all of them, and how long a connection may take to become one. Compressed messages are refused: gRPC 1.51
// unpacks one as a whole, to a thousand times its size, before it looks at the limit.
void ApplyLimits(const demorl::config::v1::ServerLimits& limits, grpc::ServerBuilder& builder);

// Lets the process open as many files as the system allows, since gRPC 1.51 stops listening for good when it
// cannot accept a connection for want of them. It has no way to count connections itself: `max_connections`
// is what the files must suffice for, and a warning says so where they do not.
void AllowOpenFiles(int max_connections);

}  // namespace demorl
