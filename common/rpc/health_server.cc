#include "common/rpc/health_server.h"

#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/grpc_settings.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/impl/server_builder_option.h"
#include "grpcpp/impl/server_builder_plugin.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"

namespace demorl {
namespace {

constexpr int kMaxProbeBytes = 1 << 12;
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
  builder.SetMaxReceiveMessageSize(kMaxProbeBytes);
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
