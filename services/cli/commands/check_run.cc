#include <cstdio>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/config/complete_run.h"
#include "common/config/run_modes.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/run_options.h"
#include "services/cli/run/run_access.h"
#include "services/cli/run/run_check.h"

namespace demorl {
namespace {

using ::demorl::config::v1::RunConfig;

struct CheckRunOptions {
  std::string run;
  std::string config;
  double timeout_s = 60;
};

absl::StatusOr<RunConfig> FindConfig(const CheckRunOptions& options) {
  if (options.run.empty() == options.config.empty()) {
    return absl::InvalidArgumentError("want either --run, a run folder, or --config, what its services read");
  }
  return options.run.empty() ? LoadRunConfig(options.config, {}) : ReadServicesFile(options.run);
}

absl::Status CheckRun(const CheckRunOptions& options) {
  ASSIGN_OR_RETURN(const RunConfig config, FindConfig(options));
  ASSIGN_OR_RETURN(const ServiceChannels channels, ConnectToServices(config));
  const absl::Time deadline = absl::Now() + absl::Seconds(options.timeout_s);
  const auto note = [](const std::string& line) { std::printf("ok  %s\n", line.c_str()); };
  ReplayClient replay(channels.at("replay"), config.run_id());
  RETURN_IF_ERROR(CheckReplay(replay, deadline, note));
  if (!LearnsPolicy(config)) {
    note("this run acts by plans alone: it has no policy to fetch");
    return absl::OkStatus();
  }
  SnapshotClient snapshots(channels.at("snapshot"), config.run_id());
  return CheckPolicy(snapshots, deadline, note);
}

}  // namespace

void AddCheckRunCommand(CLI::App& app, int* exit_status) {
  auto* command = app.add_subcommand(
      "check-run", "Write rows to a table of their own, draw them back and fetch a policy: does a run work?");
  auto options = std::make_shared<CheckRunOptions>();
  command->add_option("--run", options->run, "Run folder of a run that is going on");
  command->add_option("--config", options->config, "Configuration of the run's services, a file or a folder");
  command->add_option("--timeout", options->timeout_s, "Seconds to wait for what is not there yet")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  command->callback([options, exit_status] { *exit_status = ReportStatus("check-run", CheckRun(*options)); });
}

}  // namespace demorl
