#include "services/cli/plot/plot.h"

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "common/base/status_macros.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/run_options.h"

namespace demorl {
namespace {

struct PlotOptions {
  std::vector<std::string> runs;
  std::string out = "curve";
};

absl::Status Plot(const PlotOptions& options) {
  const std::vector<std::filesystem::path> folders(options.runs.begin(), options.runs.end());
  RETURN_IF_ERROR(PlotRuns(folders, options.out));
  std::printf("%s.png and %s.svg\n", options.out.c_str(), options.out.c_str());
  return absl::OkStatus();
}

}  // namespace

void AddPlotCommand(CLI::App& app, int* exit_status) {
  auto* command =
      app.add_subcommand("plot", "Draw the curves of runs: mean and spread over seeds, PNG and SVG");
  auto options = std::make_shared<PlotOptions>();
  command->add_option("runs", options->runs, "Run folders")->required();
  command->add_option("--out", options->out, "Files without their ending")->capture_default_str();
  command->callback([options, exit_status] { *exit_status = ReportStatus("plot", Plot(*options)); });
}

}  // namespace demorl
