#include "common/rpc/health_server.h"

#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/grpc_settings.h"
#include "common/rpc/server_limits.h"
#include "demorl/config/v1/security.pb.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/impl/server_builder_option.h"
#include "grpcpp/impl/server_builder_plugin.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"

namespace demorl {
namespace {

// Of probes, which are small and few.
constexpr int kMaxProbeBytes = 1 << 12;
constexpr int kMaxProbes = 16;
constexpr int64_t kMaxBytesInFlight = 64 << 20;
// For the answers under way.
constexpr absl::Duration kShutdownTimeout = absl::Milliseconds(200);

// Plugins, reflection among them, are otherwise part of every server of the process.
class NoPlugins final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    plugins->clear();
  }
};

demorl::config::v1::ServerLimits ProbeLimits() {
  demorl::config::v1::ServerLimits limits;
  limits.set_max_message_bytes(kMaxProbeBytes);
  limits.set_max_concurrent_streams(kMaxProbes);
  limits.set_max_bytes_in_flight(kMaxBytesInFlight);
  return limits;
}

}  // namespace

void SetHealth(grpc::Server& server, bool live, bool ready) {
  grpc::HealthCheckServiceInterface* health = server.GetHealthCheckService();
  health->SetServingStatus("liveness", live);
  health->SetServingStatus("readiness", ready);
  health->SetServingStatus("", ready);
}

absl::StatusOr<std::unique_ptr<HealthServer>> HealthServer::Start(const std::string& address) {
  grpc::EnableDefaultHealthCheckService(true);
  std::unique_ptr<HealthServer> health(new HealthServer());
  grpc::ServerBuilder builder;
  ApplyKeepalive(builder);
  builder.SetOption(std::make_unique<NoPlugins>());
  ApplyLimits(ProbeLimits(), builder);
  // Answers that it knows nothing else; gRPC starts no server without a service of ours.
  builder.RegisterCallbackGenericService(&health->anything_else_);
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), &health->port_);
  health->server_ = builder.BuildAndStart();
  if (health->server_ == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("cannot serve health on ", address,
                     ": the port is in use or the address is not of this machine; want \"host:port\""));
  }
  health->Set(/*live=*/true, /*ready=*/false);
  return health;
}

HealthServer::~HealthServer() {
  if (server_ != nullptr) {
    server_->Shutdown(absl::ToChronoTime(absl::Now() + kShutdownTimeout));
  }
}

void HealthServer::Set(bool live, bool ready) { SetHealth(*server_, live, ready); }

}  // namespace demorl
