#include <cstdio>
#include <memory>

#include "common/config/loader.h"
#include "common/rpc/service_context.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/run_options.h"

namespace demorl {
namespace {

int CheckConfig(const RunOptions& options) {
  const auto config = ResolveOptions(options);
  if (!config.ok()) {
    return ReportStatus("check-config", config.status());
  }
  std::printf("%s# valid; hash %s\n", ToTextProto(*config).c_str(), RunConfigHash(*config).c_str());
  return 0;
}

}  // namespace

void AddCheckConfigCommand(CLI::App& app, int* exit_status) {
  auto* command =
      app.add_subcommand("check-config", "Print the configuration in effect, or what is wrong with it");
  auto options = std::make_shared<RunOptions>();
  AddRunOptions(*command, options.get(), /*with_config=*/true, /*with_out=*/false);
  command->callback([options, exit_status] { *exit_status = CheckConfig(*options); });
}

}  // namespace demorl
