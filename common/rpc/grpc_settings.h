#pragma once

#include "grpcpp/support/channel_arguments.h"

namespace grpc {
class ServerBuilder;
}

namespace demorl {

// The largest message either side takes or sends: a snapshot travels in one.
constexpr int kMaxMessageBytes = 64 << 20;

// Of GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET: identity alone.
constexpr int kNoCompression = 1;

// A side that sees nothing for the first time asks, and gives up after the second: 9 s to notice a vanished
// peer.
constexpr int kKeepaliveTimeMs = 5000;
constexpr int kKeepaliveTimeoutMs = 4000;

// Message limits, no compressed answers (see ApplyLimits) and no proxy, common to all channels.
grpc::ChannelArguments CommonChannelArguments();

// How a server notices vanished clients, and that it has its port for itself.
void ApplyKeepalive(grpc::ServerBuilder& builder);

}  // namespace demorl
