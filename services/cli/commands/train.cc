#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/run_options.h"
#include "services/cli/deterministic/conductor.h"
#include "services/cli/local/local_run.h"
#include "services/cli/run/run_folder.h"
#include "services/cli/run/run_report.h"
#include "services/cli/run/signal_stop.h"

namespace demorl {
namespace {

struct TrainOptions {
  RunOptions run;
  bool deterministic = false;
};

bool AlreadyFinished(const RunFolder& folder) {
  return folder.resumed() && !folder.evaluations().empty() &&
         folder.evaluations().back().environment_steps >= folder.config().environment_steps();
}

absl::Status Train(const TrainOptions& options) {
  ASSIGN_OR_RETURN(auto config, ResolveOptions(options.run));
  if (config.has_robot()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the configuration has robot '", config.robot().name(),
                     "', whose gateway is a process of its own; want demorl up"));
  }
  config.set_deterministic(config.deterministic() || options.deterministic);
  RETURN_IF_ERROR(CheckTrainable(config));
  ASSIGN_OR_RETURN(std::unique_ptr<RunFolder> folder,
                   RunFolder::Open(OutFolder(options.run, config), config));
  if (!AlreadyFinished(*folder)) {
    SignalStop signals;
    RETURN_IF_ERROR(config.deterministic() ? RunDeterministically(*folder, signals.token())
                                           : RunLocally(*folder, signals.token()));
  }
  ReportRun(*folder);
  return absl::OkStatus();
}

}  // namespace

void AddTrainCommand(CLI::App& app, int* exit_status) {
  auto* command =
      app.add_subcommand("train", "Train on this machine, all services in one process; resumes a run folder");
  auto options = std::make_shared<TrainOptions>();
  AddRunOptions(*command, &options->run, /*with_config=*/true, /*with_out=*/true);
  command->add_flag("--deterministic", options->deterministic,
                    "Step all parts in the paper's order: the same seed gives the same curve, bit by bit");
  command->callback([options, exit_status] {
    const absl::Status status = Train(*options);
    *exit_status = absl::IsCancelled(status) ? 130 : ReportStatus("train", status);
  });
}

}  // namespace demorl
