#include <cstdio>
#include <memory>

#include "common/base/status_macros.h"
#include "services/actor/core/episode_collector.h"
#include "services/cli/commands/commands.h"
#include "services/cli/commands/policy_source.h"
#include "services/cli/commands/run_options.h"

namespace demorl {
namespace {

struct EvalOptions {
  PolicySourceOptions source;
  int episodes = 10;
  uint64_t seed = 0;
  int threads = 1;
  bool stochastic = false;
};

absl::Status RunEval(const EvalOptions& options) {
  ASSIGN_OR_RETURN(const PolicySource source, LoadPolicySource(options.source));
  ASSIGN_OR_RETURN(const EvaluationResult result,
                   Evaluate(source.tensors, {.environment_id = source.environment_id,
                                             .num_episodes = options.episodes,
                                             .seed = options.seed,
                                             .stochastic = options.stochastic,
                                             .num_threads = options.threads}));
  std::printf("%s, %s\n", source.environment_id.c_str(), source.file.c_str());
  for (size_t i = 0; i < result.returns.size(); ++i) {
    std::printf("  episode %zu: return %.3f in %d steps, %s\n", i, result.returns[i], result.lengths[i],
                result.terminated[i] ? "terminated" : "truncated");
  }
  std::printf("mean return %.3f +- %.3f, mean length %.1f over %zu episodes\n", result.mean_return(),
              result.stddev_return(), result.mean_length(), result.returns.size());
  return absl::OkStatus();
}

}  // namespace

void AddEvalCommand(CLI::App& app, int* exit_status) {
  auto* command = app.add_subcommand("eval", "Run episodes of a policy and print their returns");
  auto options = std::make_shared<EvalOptions>();
  AddPolicySourceOptions(*command, &options->source);
  command->add_option("--episodes", options->episodes)->capture_default_str()->check(CLI::Range(1, 100000));
  command->add_option("--seed", options->seed)->capture_default_str();
  command->add_option("--threads", options->threads)->capture_default_str()->check(CLI::Range(1, 256));
  command->add_flag("--stochastic", options->stochastic, "Draw actions instead of taking the mean");
  command->callback([options, exit_status] { *exit_status = ReportStatus("eval", RunEval(*options)); });
}

}  // namespace demorl
