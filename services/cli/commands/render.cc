#include "services/cli/render/render.h"

#include <cstdio>
#include <memory>

#include "common/base/status_macros.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/policy_source.h"
#include "services/cli/commands/run_options.h"

namespace demorl {
namespace {

struct RenderCommandOptions {
  PolicySourceOptions source;
  RenderOptions render;
  std::string out = "episode.mp4";
};

absl::Status Render(const RenderCommandOptions& options) {
  ASSIGN_OR_RETURN(const PolicySource source, LoadPolicySource(options.source));
  RenderOptions render = options.render;
  render.environment_id = source.environment_id;
  render.out = options.out;
  ASSIGN_OR_RETURN(const RenderResult result, RenderPolicy(source.tensors, render));
  std::printf("%s: %d frames of %s, return %.3f, drawn with %s\n", options.out.c_str(), result.num_frames,
              source.environment_id.c_str(), result.episode_return, result.backend.c_str());
  return absl::OkStatus();
}

}  // namespace

void AddRenderCommand(CLI::App& app, int* exit_status) {
  auto* command = app.add_subcommand("render", "Film an episode of a policy (MP4), without a display");
  auto options = std::make_shared<RenderCommandOptions>();
  AddPolicySourceOptions(*command, &options->source);
  command->add_option("--out", options->out)->capture_default_str();
  command->add_option("--seed", options->render.seed)->capture_default_str();
  command->add_option("--max-steps", options->render.max_steps, "0 for the whole episode")
      ->capture_default_str();
  command->add_option("--width", options->render.width)->capture_default_str()->check(CLI::Range(16, 4096));
  command->add_option("--height", options->render.height)->capture_default_str()->check(CLI::Range(16, 4096));
  command->add_flag("--stochastic", options->render.stochastic, "Draw actions instead of taking the mean");
  command->callback([options, exit_status] { *exit_status = ReportStatus("render", Render(*options)); });
}

}  // namespace demorl
