// The `demorl` program: trains, runs and looks at runs.

#include <cstdio>
#include <filesystem>
#include <utility>

#include "CLI/CLI.hpp"
#include "common/base/blas_environment.h"
#include "common/base/lock_checks.h"
#include "common/rpc/revision.h"
#include "common/rpc/shutdown_signals.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/failure_message.h"
#include "spdlog/sinks/stdout_color_sinks.h"
#include "spdlog/spdlog.h"

namespace {

// Standard output belongs to the answer; of what the parts log, a command shows what went wrong.
void SetUpLog() {
  auto logger = spdlog::stderr_color_mt("command");
  logger->set_level(spdlog::level::warn);
  spdlog::set_default_logger(std::move(logger));
}

}  // namespace

int main(int argc, char** argv) {
  demorl::UseFastestBlas(argv);
  demorl::SkipLockOrderChecks();
  demorl::BlockShutdownSignals();
  SetUpLog();
  CLI::App app("Trains robot controllers by M-DeMoRL: DMD-MPC inside soft actor-critic.", "demorl");
  app.set_version_flag("--version", demorl::Revision());
  app.require_subcommand(1);
  app.failure_message(demorl::FailureMessage);
  int exit_status = 0;
  demorl::AddTrainCommand(app, &exit_status);
  demorl::AddUpCommand(app, &exit_status);
  demorl::AddStatusCommand(app, &exit_status);
  demorl::AddEvalCommand(app, &exit_status);
  demorl::AddPlotCommand(app, &exit_status);
  demorl::AddRenderCommand(app, &exit_status);
  demorl::AddCompareCommand(app, &exit_status);
  demorl::AddFollowCommand(app, &exit_status);
  demorl::AddCheckRunCommand(app, &exit_status);
  demorl::AddCheckConfigCommand(app, &exit_status);
  demorl::AddExportCommand(app, &exit_status);
  demorl::AddPolicyCommand(app, &exit_status);
  demorl::AddReplayCommand(app, &exit_status);
  demorl::AddReplayTicksCommand(app, &exit_status);
  demorl::AddRobotCommand(app, &exit_status);
  demorl::AddRobotDemoCommand(app, &exit_status);
  demorl::AddCertsCommand(app, &exit_status);
  try {
    CLI11_PARSE(app, argc, argv);
  } catch (
      const std::filesystem::filesystem_error& error) {  // of a folder that is not ours to look into, say
    std::fprintf(stderr, "demorl: %s\n", error.what());
    return 1;
  }
  return exit_status;
}
