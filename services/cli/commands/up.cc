#include <cstdio>
#include <filesystem>
#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"
#include "common/concurrency/stop_token.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/run_options.h"
#include "services/cli/run/run_access.h"
#include "services/cli/run/run_folder.h"
#include "services/cli/run/run_monitor.h"
#include "services/cli/run/run_report.h"
#include "services/cli/run/service_names.h"
#include "services/cli/run/signal_stop.h"
#include "services/cli/up/local_deployment.h"
#include "services/cli/up/supervisor.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;
using ::demorl::config::v1::RunConfig;

constexpr absl::Duration kTendInterval = absl::Milliseconds(100);

void Note(const std::string& text) { std::printf("\n%s\n", text.c_str()); }

// Tends the children on this thread while the monitor follows the run on another.
absl::Status TendUntilDone(Supervisor& supervisor, RunFolder& folder, const ServiceChannels& channels,
                           StopToken stop) {
  StopSource monitor_stop;
  StopSource monitor_done;
  absl::Status monitored;
  RunMonitor monitor(
      {.folder = &folder, .channels = channels, .stop_when_unhealthy = false, .cpu_seconds = [&supervisor] {
         return supervisor.CpuSeconds();
       }});
  std::thread thread([&] {
    monitored = monitor.Run(monitor_stop.token());
    monitor_done.RequestStop();
  });
  absl::Status tended;
  while (tended.ok() && !stop.stop_requested() && !monitor_done.token().WaitFor(kTendInterval)) {
    tended = supervisor.Tend();
  }
  monitor_stop.RequestStop();
  thread.join();
  return tended.ok() ? monitored : tended;
}

absl::Status RunUp(const RunOptions& options) {
  ASSIGN_OR_RETURN(const RunConfig asked, ResolveOptions(options));
  RETURN_IF_ERROR(CheckTrainable(asked));
  ASSIGN_OR_RETURN(std::unique_ptr<RunFolder> folder, RunFolder::Open(OutFolder(options, asked), asked));
  const fs::path path = fs::absolute(folder->path());
  RunConfig config = folder->config();
  const std::vector<std::string> services = ServicesOf(config);
  RETURN_IF_ERROR(PlaceServices(path, services, &config));
  RETURN_IF_ERROR(MakeFolders(path / "logs"));
  RETURN_IF_ERROR(WriteServicesFile(path, config));
  ASSIGN_OR_RETURN(std::vector<SupervisedProgram> programs, ProgramsOf(path, services, config));
  SignalStop signals;
  Supervisor supervisor(std::move(programs), Note);
  RETURN_IF_ERROR(supervisor.StartAll());
  ASSIGN_OR_RETURN(const ServiceChannels channels, ConnectToRun(path));
  for (const auto& [name, pid] : supervisor.ProcessIds()) {
    std::printf("%-14s pid %d  %s\n", name.c_str(), pid,
                MutableServerConfig(name, &config)->address().c_str());
  }
  if (config.has_robot()) {
    std::printf("the robot's motors are off; demorl robot check, then demorl robot arm, --gateway %s\n",
                MutableServerConfig(CollectorOf(config), &config)->address().c_str());
  }
  const absl::Status outcome = TendUntilDone(supervisor, *folder, channels, signals.token());
  const absl::Status stopped =
      supervisor.StopAll(absl::Seconds(config.services().replay().drain_timeout_s()) + absl::Seconds(5));
  RemoveServicesFile(path);
  RETURN_IF_ERROR(outcome);
  RETURN_IF_ERROR(stopped);
  ReportRun(*folder);
  return absl::OkStatus();
}

}  // namespace

void AddUpCommand(CLI::App& app, int* exit_status) {
  auto* command = app.add_subcommand("up", "Run all services as supervised local processes");
  auto options = std::make_shared<RunOptions>();
  AddRunOptions(*command, options.get(), /*with_config=*/true, /*with_out=*/true);
  command->callback([options, exit_status] { *exit_status = ReportStatus("up", RunUp(*options)); });
}

}  // namespace demorl
