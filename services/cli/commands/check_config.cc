#include <cstdio>
#include <memory>

#include "common/base/status_macros.h"
#include "common/config/loader.h"
#include "common/rpc/service_context.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/run_options.h"
#include "services/cli/run/run_access.h"
#include "services/cli/run/run_folder.h"

namespace demorl {
namespace {

using ::demorl::config::v1::RunConfig;

absl::Status CheckConfig(const RunOptions& options) {
  ASSIGN_OR_RETURN(const RunConfig config, ResolveOptions(options));
  if (options.out.empty()) {
    std::printf("%s# valid; hash %s\n", ToTextProto(config).c_str(), RunConfigHash(config).c_str());
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<RunFolder> folder, RunFolder::Open(options.out, config));
  RETURN_IF_ERROR(WriteServicesFile(folder->path(), folder->config()));
  std::printf("%s is run %s; hash %s\n", folder->path().c_str(), folder->config().run_id().c_str(),
              folder->config_hash().c_str());
  return absl::OkStatus();
}

}  // namespace

void AddCheckConfigCommand(CLI::App& app, int* exit_status) {
  auto* command =
      app.add_subcommand("check-config", "Print the configuration in effect, or what is wrong with it");
  auto options = std::make_shared<RunOptions>();
  AddRunOptions(*command, options.get(), /*with_config=*/true, /*with_out=*/false);
  command->add_option("--out", options->out,
                      "Instead of printing, make this the folder of the run, for services that something "
                      "else starts");
  command->callback(
      [options, exit_status] { *exit_status = ReportStatus("check-config", CheckConfig(*options)); });
}

}  // namespace demorl
