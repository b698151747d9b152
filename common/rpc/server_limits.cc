#include "common/rpc/server_limits.h"

#include <sys/resource.h>

#include <algorithm>

#include "common/rpc/grpc_settings.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/server_builder.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

// TLS and HTTP/2's first frames; a peer that is slower is not one of ours. gRPC would wait for 2 minutes.
constexpr int kHandshakeTimeoutMs = 10'000;
// Files of a service that are not connections.
constexpr rlim_t kOtherFiles = 256;

}  // namespace

void ApplyLimits(const demorl::config::v1::ServerLimits& limits, grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(limits.max_message_bytes());
  builder.SetMaxSendMessageSize(std::max(limits.max_message_bytes(), kMaxMessageBytes));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, limits.max_concurrent_streams());
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, limits.max_metadata_bytes());
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, kHandshakeTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
  builder.AddChannelArgument(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, kNoCompression);
  grpc::ResourceQuota quota("server");
  quota.Resize(static_cast<size_t>(limits.max_bytes_in_flight()));
  builder.SetResourceQuota(quota);
}

void AllowOpenFiles(int max_connections) {
  rlimit files = {};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) {
    return;
  }
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_cur < static_cast<rlim_t>(max_connections) + kOtherFiles) {
    spdlog::warn(
        "limits.max_connections is {}, and this process may open {} files (ulimit -Hn); want at least {}",
        max_connections, files.rlim_cur, max_connections + kOtherFiles);
  }
}

}  // namespace demorl
