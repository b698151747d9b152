#include <cstdio>
#include <filesystem>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/config/complete_run.h"
#include "common/metrics/prometheus_metrics.h"
#include "common/rpc/revision.h"
#include "common/rpc/server_runner.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/run_options.h"
#include "services/cli/run/evaluator_metrics.h"
#include "services/cli/run/run_access.h"
#include "services/cli/run/run_folder.h"
#include "services/cli/run/run_monitor.h"
#include "services/cli/run/run_report.h"
#include "services/cli/run/service_names.h"
#include "services/cli/run/signal_stop.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;
using ::demorl::config::v1::RunConfig;

struct FollowOptions {
  std::string config;
  std::vector<std::string> overrides;
  std::string out;
  std::string health_address;
  std::string metrics_address;
  bool stay = false;
};

// What a probe sees of a process that serves nothing but its health.
class EvaluatorComponent final : public ServiceComponent {
 public:
  absl::string_view name() const override { return "evaluator"; }
  std::vector<grpc::Service*> rpc_services() override { return {}; }
  absl::Status Start() override { return absl::OkStatus(); }
  ComponentStatus Status() const override { return {.state = ComponentState::kRunning}; }
  absl::Status Pause() override { return absl::OkStatus(); }
  absl::Status Resume() override { return absl::OkStatus(); }
  absl::StatusOr<std::string> Checkpoint() override { return std::string(); }
  absl::Status Drain(absl::Time /*deadline*/) override { return absl::OkStatus(); }
};

absl::StatusOr<std::unique_ptr<Metrics>> MakeMetrics(const std::string& address) {
  if (address.empty()) {
    return MakeLocalMetrics();
  }
  ASSIGN_OR_RETURN(std::unique_ptr<PrometheusMetrics> metrics, PrometheusMetrics::Create(address));
  std::printf("metrics on port %d\n", metrics->port());
  return std::unique_ptr<Metrics>(std::move(metrics));
}

absl::StatusOr<RunConfig> LoadFollowedRun(const FollowOptions& options) {
  ASSIGN_OR_RETURN(RunConfig config, LoadRunConfig(options.config, options.overrides));
  RETURN_IF_ERROR(ValidateRunConfig(config));
  if (config.run_id().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.config, " has no run_id; want the configuration that the run's services read"));
  }
  return config;
}

// The folder keeps the run, not where its services happen to be.
absl::StatusOr<std::unique_ptr<RunFolder>> OpenFolder(const fs::path& path, RunConfig config) {
  config.clear_services();
  config.clear_security();
  return RunFolder::Open(path, std::move(config), ChangedConfig::kAdopt);
}

void Show(const EvaluationRow& row, EvaluatorMetrics* metrics) {
  metrics->mean_return.Set(row.mean_return);
  metrics->stddev_return.Set(row.stddev_return);
  metrics->environment_steps.Set(static_cast<double>(row.environment_steps));
  metrics->policy_version.Set(static_cast<double>(row.policy_version));
}

absl::Status Follow(const FollowOptions& options) {
  ASSIGN_OR_RETURN(const RunConfig config, LoadFollowedRun(options));
  ASSIGN_OR_RETURN(const std::unique_ptr<RunFolder> folder, OpenFolder(fs::absolute(options.out), config));
  ASSIGN_OR_RETURN(const ServiceChannels channels, ConnectToServices(config));
  RETURN_IF_ERROR(WriteServicesFile(folder->path(), config));
  ASSIGN_OR_RETURN(const std::unique_ptr<Metrics> registry, MakeMetrics(options.metrics_address));
  registry
      ->GetGauge("demorl_build_info", "Always 1; says what runs",
                 {{"service", "evaluator"}, {"revision", Revision()}})
      .Set(1);
  EvaluatorMetrics metrics(*registry);
  metrics.ShowNeeded(ServicesOf(config));
  if (!folder->evaluations().empty()) {
    Show(folder->evaluations().back(), &metrics);
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<TransportSecurity> security,
                   TransportSecurity::Create(OperatorSecurity(config)));
  SignalStop signals;
  EvaluatorComponent component;
  ASSIGN_OR_RETURN(const std::unique_ptr<ServerRunner> runner,
                   ServerRunner::Start({.health_address = options.health_address,
                                        .run_id = config.run_id(),
                                        .metrics = registry.get(),
                                        .security = security.get()},
                                       &component));
  RunMonitor monitor({.folder = folder.get(),
                      .channels = channels,
                      .stop_when_unhealthy = false,
                      .on_evaluation = [&metrics](const EvaluationRow& row) {
                        metrics.evaluations.Increment();
                        Show(row, &metrics);
                      }});
  const absl::Status followed = monitor.Run(signals.token());
  if (absl::IsCancelled(followed)) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(followed);
  metrics.complete.Set(1);
  ReportRun(*folder);
  StopToken stop = signals.token();
  while (options.stay && !stop.WaitFor(absl::Hours(1))) {
  }
  return absl::OkStatus();
}

}  // namespace

void AddFollowCommand(CLI::App& app, int* exit_status) {
  auto* command = app.add_subcommand(
      "follow", "Evaluate and record a run whose services others have started, until it is complete");
  auto options = std::make_shared<FollowOptions>();
  command->add_option("--config", options->config, "Configuration of the run's services, a file or a folder")
      ->required();
  command->add_option("--override", options->overrides, "path=value; may be repeated")
      ->allow_extra_args(false);
  command->add_option("--out", options->out, "Run folder; an earlier one of the same run is continued")
      ->required();
  command->add_option("--health-address", options->health_address, "gRPC health for probes, \"host:port\"");
  command->add_option("--metrics-address", options->metrics_address, "Prometheus, \"host:port\"");
  command->add_flag("--stay", options->stay, "When the run is complete, stay until stopped");
  command->callback([options, exit_status] { *exit_status = ReportStatus("follow", Follow(*options)); });
}

}  // namespace demorl
