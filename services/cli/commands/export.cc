#include <cstdio>
#include <memory>

#include "common/base/status_macros.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/policy_source.h"
#include "services/cli/commands/run_options.h"
#include "services/cli/export/export_onnx.h"

namespace demorl {
namespace {

struct ExportOptions {
  PolicySourceOptions source;
  std::string onnx;
};

absl::Status Export(const ExportOptions& options) {
  ASSIGN_OR_RETURN(const PolicySource source, LoadPolicySource(options.source));
  RETURN_IF_ERROR(ExportOnnx(source.tensors, options.onnx));
  std::printf("%s: the policy of %s\n", options.onnx.c_str(), source.file.c_str());
  return absl::OkStatus();
}

}  // namespace

void AddExportCommand(CLI::App& app, int* exit_status) {
  auto* command = app.add_subcommand("export", "Write a policy for use elsewhere");
  auto options = std::make_shared<ExportOptions>();
  AddPolicySourceOptions(*command, &options->source);
  command->add_option("--onnx", options->onnx, "ONNX file to write")->required();
  command->callback([options, exit_status] { *exit_status = ReportStatus("export", Export(*options)); });
}

}  // namespace demorl
