#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/run_options.h"
#include "services/cli/control_client.h"
#include "services/cli/run/run_access.h"
#include "services/cli/run/signal_stop.h"

namespace demorl {
namespace {

using ::demorl::control::v1::GetStatusResponse;

struct StatusOptions {
  std::string run;
  bool once = false;
};

const char* StateName(demorl::control::v1::ServiceState state) {
  switch (state) {
    case demorl::control::v1::SERVICE_STATE_STARTING:
      return "starting";
    case demorl::control::v1::SERVICE_STATE_RUNNING:
      return "running";
    case demorl::control::v1::SERVICE_STATE_PAUSED:
      return "paused";
    case demorl::control::v1::SERVICE_STATE_DRAINING:
      return "draining";
    case demorl::control::v1::SERVICE_STATE_UNHEALTHY:
      return "UNHEALTHY";
    default:
      return "unknown";
  }
}

std::string Figures(const GetStatusResponse& status) {
  std::map<std::string, double> sorted(status.figures().begin(), status.figures().end());
  std::string text;
  for (const auto& [name, value] : sorted) {
    if (std::isfinite(value)) {
      absl::StrAppendFormat(&text, "%s%s=%.6g", text.empty() ? "" : " ", name, value);
    }
  }
  return text;
}

std::string Table(std::map<std::string, ControlClient>& controls) {
  std::string table = absl::StrFormat("%-14s %-10s %8s  %s\n", "SERVICE", "STATE", "UPTIME", "DETAIL");
  for (auto& [name, control] : controls) {
    const absl::StatusOr<GetStatusResponse> status = control.GetStatus(absl::Seconds(1));
    if (!status.ok()) {
      absl::StrAppendFormat(&table, "%-14s %-10s %8s  %s\n", name, "no answer", "",
                            status.status().message());
      continue;
    }
    absl::StrAppendFormat(&table, "%-14s %-10s %7.0fs  %s\n", name, StateName(status->state()),
                          status->uptime_seconds(), status->detail());
    absl::StrAppendFormat(&table, "%-14s %s\n", "", Figures(*status));
  }
  return table;
}

int ShowStatus(const StatusOptions& options) {
  const absl::StatusOr<ServiceChannels> channels = ConnectToRun(options.run);
  if (!channels.ok()) {
    return ReportStatus("status", channels.status());
  }
  std::map<std::string, ControlClient> controls;
  for (const auto& [name, channel] : *channels) {
    controls.emplace(name, channel);
  }
  if (options.once || ::isatty(STDOUT_FILENO) == 0) {
    std::printf("%s", Table(controls).c_str());
    return 0;
  }
  SignalStop signals;
  StopToken stop = signals.token();
  do {
    std::printf("\x1b[H\x1b[2J%s\n", Table(controls).c_str());
    std::fflush(stdout);
  } while (!stop.WaitFor(absl::Seconds(1)));
  return 0;
}

}  // namespace

void AddStatusCommand(CLI::App& app, int* exit_status) {
  auto* command = app.add_subcommand("status", "Show all services of a run, live on a terminal");
  auto options = std::make_shared<StatusOptions>();
  command->add_option("--run", options->run, "Run folder")->required();
  command->add_flag("--once", options->once, "Print once and exit");
  command->callback([options, exit_status] { *exit_status = ShowStatus(*options); });
}

}  // namespace demorl
