#include "common/rpc/server_runner.h"

#include <pthread.h>

#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/concurrency/stop_token.h"
#include "common/rpc/call_metrics.h"
#include "common/rpc/certificate_metrics.h"
#include "common/rpc/control_service.h"
#include "common/rpc/grpc_log.h"
#include "common/rpc/grpc_settings.h"
#include "common/rpc/health_server.h"
#include "common/rpc/open_streams.h"
#include "common/rpc/security/gated_service.h"
#include "common/rpc/server_limits.h"
#include "common/rpc/service_manager.h"
#include "common/rpc/state_metrics.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

// How long calls that are in flight after the drain may take.
constexpr absl::Duration kServerShutdownTimeout = absl::Milliseconds(800);
// How old the health answer may be.
constexpr absl::Duration kHealthPeriod = absl::Milliseconds(250);
// gRPC lets connections go up to a tenth later.
constexpr double kConnectionAgeJitter = 1.1;

absl::Duration StreamAgeLimit(const ServerOptions& options) {
  return options.max_connection_age > absl::ZeroDuration()
             ? kConnectionAgeJitter * options.max_connection_age + options.connection_grace
             : absl::InfiniteDuration();
}

class ServerRunnerImpl final : public ServerRunner {
 public:
  ServerRunnerImpl(const ServerOptions& options, ServiceComponent* component)
      : options_(options),
        component_(*component),
        control_(ControlService::Create(component, options.run_id, [this] { RequestDrain(); })),
        open_streams_(StreamAgeLimit(options),
                      options.security == nullptr ? nullptr : options.security->access()) {
    if (options_.metrics != nullptr) {
      state_metrics_.emplace(*options_.metrics, component_.name());
      state_metrics_->Set(ComponentState::kStarting);
      if (options_.security != nullptr && options_.security->certificate() != nullptr) {
        certificate_metrics_.emplace(*options_.metrics);
      }
    }
    RefreshCertificate();
  }

  ~ServerRunnerImpl() override {
    if (server_ != nullptr) {
      Shutdown().IgnoreError();
    }
  }

  absl::Status Start() {
    RedirectGrpcLog();
    if (!options_.health_address.empty()) {
      ASSIGN_OR_RETURN(health_server_, HealthServer::Start(options_.health_address));
    }
    RETURN_IF_ERROR(StartServer());
    TellHealth(/*live=*/true, /*ready=*/false);
    if (absl::Status status = component_.Start(); !status.ok()) {
      Shutdown().IgnoreError();
      return status;
    }
    UpdateHealth();
    monitor_ = std::thread([this] { MonitorHealth(); });
    return absl::OkStatus();
  }

  int port() const override { return port_; }
  int health_port() const override { return health_server_ == nullptr ? 0 : health_server_->port(); }

  std::shared_ptr<grpc::Channel> InProcessChannel() override {
    return server_->InProcessChannel(CommonChannelArguments());
  }

  absl::Status Shutdown() override {
    absl::MutexLock lock(&shutdown_mutex_);
    if (!shut_down_) {
      shut_down_ = true;
      drain_status_ = DrainAndStop();
    }
    return drain_status_;
  }

  int WaitForShutdown() override {
    ShutdownSignals signals([this](int signal) {
      spdlog::info("signal {}: draining, for at most {}", signal,
                   absl::FormatDuration(options_.drain_timeout));
      RequestDrain();
    });
    NotifyReady(absl::StrCat("listening on port ", port_));
    drain_requested_.WaitForNotification();
    NotifyStopping();
    const absl::Status status = Shutdown();
    if (!status.ok()) {
      spdlog::error("the drain ended with {}", status.ToString());
      return 1;
    }
    spdlog::info("drained");
    return 0;
  }

 private:
  absl::Status StartServer() {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    ApplyKeepalive(builder);
    ApplyLimits(options_.limits, builder);
    AllowOpenFiles(options_.limits.max_connections());
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
    std::shared_ptr<CallGate> gate;
    if (!options_.address.empty()) {
      ASSIGN_OR_RETURN(const ServerSecurity security, Security());
      builder.AddListeningPort(options_.address, security.credentials, &port_);
      gate = security.gate;
      if (gate != nullptr) {
        interceptors.push_back(MakeBuiltInGate(gate));
      }
    }
    if (options_.metrics != nullptr) {
      interceptors.push_back(MakeServerCallMetrics(options_.metrics));
    }
    if (options_.max_connection_age > absl::ZeroDuration()) {
      builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS,
                                 static_cast<int>(absl::ToInt64Milliseconds(options_.max_connection_age)));
    }
    interceptors.push_back(open_streams_.MakeInterceptorFactory());
    builder.experimental().SetInterceptorCreators(std::move(interceptors));
    std::vector<grpc::Service*> services = component_.rpc_services();
    services.push_back(control_->rpc_service());
    for (grpc::Service* service : services) {
      builder.RegisterService(gate == nullptr ? service : BehindGate(*service, gate));
    }
    server_ = builder.BuildAndStart();
    if (server_ == nullptr) {
      return absl::UnavailableError(
          absl::StrCat(component_.name(), ": cannot listen on ", options_.address,
                       ": the port is in use or the address is not of this machine"));
    }
    return absl::OkStatus();
  }

  grpc::Service* BehindGate(grpc::Service& service, const std::shared_ptr<CallGate>& gate) {
    gated_services_.push_back(std::make_unique<GatedService>(service, gate));
    return gated_services_.back().get();
  }

  absl::StatusOr<ServerSecurity> Security() {
    if (options_.security == nullptr) {
      return ServerSecurity{.credentials = grpc::InsecureServerCredentials(), .gate = nullptr};
    }
    return options_.security->ForServer(options_.address, options_.limits.max_calls_per_second(),
                                        options_.metrics);
  }

  void TellHealth(bool live, bool ready) {
    SetHealth(*server_, live, ready);
    if (health_server_ != nullptr) {
      health_server_->Set(live, ready);
    }
  }

  void UpdateHealth() {
    const ComponentState state = component_.Status().state;
    TellHealth(state != ComponentState::kUnhealthy,
               state == ComponentState::kRunning || state == ComponentState::kPaused);
    if (state_metrics_.has_value()) {
      state_metrics_->Set(state);
    }
  }

  void MonitorHealth() {
    pthread_setname_np(pthread_self(), "health");
    const StopToken stop = stop_.token();
    while (!stop.WaitFor(kHealthPeriod)) {
      UpdateHealth();
      NotifyAlive();
      RefreshCertificate();
      open_streams_.EndWhatMust();
    }
  }

  void RefreshCertificate() {
    if (options_.security == nullptr || options_.security->certificate() == nullptr) {
      return;
    }
    options_.security->certificate()->Refresh();
    if (certificate_metrics_.has_value()) {
      certificate_metrics_->Set(options_.security->certificate()->certificate());
    }
  }

  absl::Status DrainAndStop() {
    stop_.RequestStop();
    if (monitor_.joinable()) {
      monitor_.join();
    }
    TellHealth(/*live=*/true, /*ready=*/false);
    if (state_metrics_.has_value()) {
      state_metrics_->Set(ComponentState::kDraining);
    }
    const absl::Status status = component_.Drain(absl::Now() + options_.drain_timeout);
    control_->Close();
    server_->Shutdown(absl::ToChronoTime(absl::Now() + kServerShutdownTimeout));
    return status;
  }

  void RequestDrain() {
    absl::MutexLock lock(&drain_mutex_);
    if (!drain_requested_.HasBeenNotified()) {
      drain_requested_.Notify();
    }
  }

  const ServerOptions options_;
  ServiceComponent& component_;
  absl::Mutex drain_mutex_;
  absl::Notification drain_requested_;
  StopSource stop_;
  const std::unique_ptr<ControlService> control_;
  OpenStreams open_streams_;
  std::vector<std::unique_ptr<GatedService>> gated_services_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
  std::unique_ptr<HealthServer> health_server_;
  // Of the monitor's thread, and of whoever shuts down after it.
  std::optional<StateMetrics> state_metrics_;
  std::optional<CertificateMetrics> certificate_metrics_;
  std::thread monitor_;
  absl::Mutex shutdown_mutex_;
  bool shut_down_ ABSL_GUARDED_BY(shutdown_mutex_) = false;
  absl::Status drain_status_ ABSL_GUARDED_BY(shutdown_mutex_);
};

}  // namespace

void ApplyKeepalive(grpc::ServerBuilder& builder) {
  // Without this, two servers may listen on one port and share its callers.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 1000);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
}

absl::StatusOr<std::unique_ptr<ServerRunner>> ServerRunner::Start(const ServerOptions& options,
                                                                  ServiceComponent* component) {
  auto runner = std::make_unique<ServerRunnerImpl>(options, component);
  RETURN_IF_ERROR(runner->Start());
  return runner;
}

}  // namespace demorl
