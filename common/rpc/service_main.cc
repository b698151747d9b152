#include <exception>
#include <iostream>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/check.h"
#include "common/base/lock_checks.h"
#include "common/base/status_macros.h"
#include "common/config/complete_run.h"
#include "common/config/loader.h"
#include "common/metrics/prometheus_metrics.h"
#include "common/rpc/channel_factory.h"
#include "common/rpc/health_check.h"
#include "common/rpc/log_format.h"
#include "common/rpc/revision.h"
#include "common/rpc/server_runner.h"
#include "common/rpc/service_context.h"
#include "google/protobuf/descriptor.h"
#include "spdlog/sinks/stdout_color_sinks.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

using ::demorl::config::v1::RunConfig;
using ::demorl::config::v1::ServerConfig;

struct Flags {
  std::string config;
  std::vector<std::string> overrides;
  // -1: the port of the configuration.
  int port = -1;
  // Instead of serving: "host:port" of the health that is asked for.
  std::string check_health;
};

// A prober repeats the question; this is well below its usual second.
constexpr absl::Duration kHealthCheckTimeout = absl::Milliseconds(800);

void SetUpLog(const std::string& name) {
  auto logger = spdlog::stderr_color_mt(name);
  logger->set_formatter(MakeLogFormatter());
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

absl::StatusOr<RunConfig> LoadConfig(const Flags& flags) {
  ASSIGN_OR_RETURN(RunConfig config, LoadRunConfig(flags.config, flags.overrides));
  if (config.run_id().empty()) {
    return absl::InvalidArgumentError(
        "run_id is not set; all services of one run share one: set it in the configuration or by "
        "--override run_id=NAME");
  }
  return config;
}

// The section of config.services that carries this service's name, with its defaults.
ServerConfig FindServerConfig(const RunConfig& config, const std::string& name) {
  const google::protobuf::Message& services = config.services();
  const google::protobuf::FieldDescriptor* field = services.GetDescriptor()->FindFieldByName(name);
  DEMORL_CHECK_MSG(field != nullptr, "no section of this name in ServicesConfig");
  return dynamic_cast<const ServerConfig&>(services.GetReflection()->GetMessage(services, field));
}

// Where a service listens, "host:port". `port` replaces the configured one unless it is -1.
absl::StatusOr<std::string> ListenAddress(const ServerConfig& server, int port) {
  const std::string& address = server.has_listen_address() ? server.listen_address() : server.address();
  for (const char* scheme : {"dns:", "ipv4:", "ipv6:", "xds:"}) {
    if (absl::StartsWith(address, scheme)) {
      return absl::InvalidArgumentError(absl::StrCat("cannot listen on \"", address,
                                                     "\", which is a target for clients; set listen_address ",
                                                     "to \"host:port\", for example \"0.0.0.0:50051\""));
    }
  }
  if (port < 0) {
    return address;
  }
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || absl::StartsWith(address, "unix:")) {
    return absl::InvalidArgumentError(
        absl::StrCat("--port ", port, " does not fit the address \"", address, "\", expected \"host:port\""));
  }
  return absl::StrCat(address.substr(0, colon), ":", port);
}

// Null for a service that is not part of the deployment, or that has no fixed port.
std::shared_ptr<grpc::Channel> ChannelTo(bool is_part, const ServerConfig& server, Metrics* metrics,
                                         const TransportSecurity& security) {
  if (!is_part || server.address().empty() || absl::EndsWith(server.address(), ":0")) {
    return nullptr;
  }
  return MakeChannel(server.address(), metrics, &security);
}

absl::StatusOr<std::unique_ptr<Metrics>> MakeMetrics(const ServerConfig& server) {
  if (server.metrics_address().empty()) {
    return MakeLocalMetrics();
  }
  ASSIGN_OR_RETURN(std::unique_ptr<PrometheusMetrics> metrics,
                   PrometheusMetrics::Create(server.metrics_address()));
  spdlog::info("metrics on port {}", metrics->port());
  return std::unique_ptr<Metrics>(std::move(metrics));
}

// Declaration order is lifetime order.
absl::StatusOr<int> Host(const std::string& name, const Flags& flags, const ComponentFactory& factory) {
  ASSIGN_OR_RETURN(const RunConfig config, LoadConfig(flags));
  const ServerConfig server = FindServerConfig(config, name);
  ASSIGN_OR_RETURN(const std::string address, ListenAddress(server, flags.port));
  ASSIGN_OR_RETURN(const std::unique_ptr<TransportSecurity> security,
                   TransportSecurity::Create(SecurityOfService(config.security(), name)));
  ASSIGN_OR_RETURN(const std::unique_ptr<Metrics> metrics, MakeMetrics(server));
  metrics
      ->GetGauge("demorl_build_info", "Always 1; says what runs",
                 {{"service", name}, {"revision", Revision()}})
      .Set(1);
  ASSIGN_OR_RETURN(
      HostedContext hosted,
      MakeHostedContext(
          config, name, server.data_dir(), metrics.get(),
          ChannelTo(config.services().has_replay(), config.services().replay(), metrics.get(), *security),
          ChannelTo(config.services().has_snapshot(), config.services().snapshot(), metrics.get(), *security),
          ChannelTo(config.services().has_mpc_rollout(), config.services().mpc_rollout(), metrics.get(),
                    *security)));
  hosted.context.access = security->access();
  spdlog::info("run {}, configuration {}, seed {}, revision {}, start {}\n{}", config.run_id(),
               hosted.context.config_hash, config.seed(), Revision(), hosted.context.start_count,
               ToTextProto(config));
  ASSIGN_OR_RETURN(const std::unique_ptr<ServiceComponent> component, factory(hosted.context));
  const ServerOptions options = {.address = address,
                                 .health_address = server.health_address(),
                                 .run_id = config.run_id(),
                                 .drain_timeout = absl::Seconds(server.drain_timeout_s()),
                                 .max_connection_age = absl::Seconds(server.max_connection_age_s()),
                                 .metrics = metrics.get(),
                                 .security = security.get(),
                                 .limits = server.limits()};
  ASSIGN_OR_RETURN(const std::unique_ptr<ServerRunner> runner, ServerRunner::Start(options, component.get()));
  if (runner->health_port() != 0) {
    spdlog::info("health on {} (port {})", server.health_address(), runner->health_port());
  }
  spdlog::info("listening on {} (port {})", address, runner->port());
  return runner->WaitForShutdown();
}

absl::StatusOr<int> ReportHealth(const std::string& address) {
  RETURN_IF_ERROR(CheckHealth(address, "readiness", kHealthCheckTimeout));
  return 0;
}

}  // namespace

int ServiceMain(int argc, char** argv, const std::string& name, const ComponentFactory& factory) {
  SkipLockOrderChecks();
  BlockShutdownSignals();
  SetUpLog(name);
  Flags flags;
  CLI::App app(absl::StrCat("The ", name, " service of demorl."));
  app.set_version_flag("--version", Revision());
  auto* config = app.add_option("--config", flags.config,
                                "RunConfig as text proto, or a folder of them that are merged by name");
  app.add_option("--override", flags.overrides, "path=value, for example sac.batch_size=512; may be repeated")
      ->allow_extra_args(false);
  app.add_option("--port", flags.port, "port to listen on instead of the configured one; 0 for any")
      ->check(CLI::Range(0, 65535));
  app.add_option("--check-health", flags.check_health,
                 "host:port of a running service's health: exits 0 when it is ready, 1 when not")
      ->excludes(config);
  try {
    app.parse(argc, argv);
    if (flags.check_health.empty() && flags.config.empty()) {
      throw CLI::RequiredError("--config");
    }
    const absl::StatusOr<int> exit_status =
        flags.check_health.empty() ? Host(name, flags, factory) : ReportHealth(flags.check_health);
    if (exit_status.ok()) {
      return *exit_status;
    }
    spdlog::error("{}", std::string(exit_status.status().message()));
  } catch (const CLI::ParseError& error) {
    return app.exit(error, std::cout, std::cerr);
  } catch (const std::exception& error) {
    spdlog::error("unexpected: {}", error.what());
  }
  return 1;
}

}  // namespace demorl
