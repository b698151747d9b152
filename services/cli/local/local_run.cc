#include "services/cli/local/local_run.h"

#include <memory>

#include "common/base/status_macros.h"
#include "services/cli/local/local_services.h"
#include "services/cli/local/thread_cpu.h"
#include "services/cli/run/run_monitor.h"
#include "spdlog/sinks/basic_file_sink.h"
#include "spdlog/spdlog.h"

namespace demorl {

namespace {

// The services' own log lines would break the live progress line; they go to a file of the run folder.
absl::Status LogToFile(const std::filesystem::path& file) {
  try {
    spdlog::set_default_logger(spdlog::basic_logger_mt("demorl", file.string()));
    spdlog::flush_on(spdlog::level::info);
  } catch (const spdlog::spdlog_ex& error) {
    return absl::InternalError(error.what());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RunLocally(RunFolder& folder, StopToken stop) {
  RETURN_IF_ERROR(LogToFile(folder.path() / "train.log"));
  ASSIGN_OR_RETURN(std::unique_ptr<LocalServices> services, LocalServices::Start(folder));
  absl::Status outcome;
  {
    RunMonitor monitor({.folder = &folder,
                        .channels = services->channels(),
                        .tend = [&services] { return services->Tend(); },
                        .cpu_seconds = ThreadCpuSeconds});
    outcome = monitor.Run(stop);
  }
  const absl::Status drained = services->Drain();
  return outcome.ok() ? drained : outcome;
}

}  // namespace demorl
