#include "common/rpc/channel_factory.h"

#include <utility>
#include <vector>

#include "common/rpc/call_metrics.h"
#include "common/rpc/grpc_log.h"
#include "common/rpc/grpc_settings.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"

namespace demorl {
namespace {

// A server that was added is found soon after a connection has become too old; gRPC's own limit is 30 s.
constexpr int kMinResolutionIntervalMs = 5000;

}  // namespace

grpc::ChannelArguments CommonChannelArguments() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  arguments.SetInt(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
  arguments.SetInt(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, kNoCompression);
  // The services of a run are near; a proxy of the environment would only break the way to them.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return arguments;
}

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address, Metrics* metrics,
                                           const TransportSecurity* security) {
  RedirectGrpcLog();
  grpc::ChannelArguments arguments = CommonChannelArguments();
  arguments.SetLoadBalancingPolicyName("round_robin");
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, kMinResolutionIntervalMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>> interceptors;
  if (metrics != nullptr) {
    interceptors.push_back(MakeClientCallMetrics(metrics));
  }
  if (security != nullptr) {
    if (auto interceptor = security->MakeInterceptor(); interceptor != nullptr) {
      interceptors.push_back(std::move(interceptor));
    }
  }
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      address, security == nullptr ? grpc::InsecureChannelCredentials() : security->channel_credentials(),
      arguments, std::move(interceptors));
}

}  // namespace demorl
