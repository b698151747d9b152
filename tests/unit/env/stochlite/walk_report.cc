// How far a policy of StochLite walks: stochlite_walk_report FILE.safetensors ENVIRONMENT_ID [EPISODES
// [SEED]]
//
// Prints a line for each episode of the policy's mean: slope, command, steps, return, mean speed over the
// ground.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numbers>
#include <string>
#include <vector>

#include "common/base/file_io.h"
#include "common/base/status_macros.h"
#include "common/env/registry.h"
#include "common/env/tasks/stochlite/stochlite_environment.h"
#include "common/policy/mlp_policy.h"

namespace demorl::stochlite {
namespace {

constexpr double kDegree = std::numbers::pi / 180;

// Walks one episode and returns the mean speed along the commanded heading.
double ReportEpisode(StochLiteEnvironment& environment, MlpPolicy& policy, int episode) {
  Timestep timestep = environment.Reset();
  std::vector<float> observation(policy.observation_size()), action(policy.action_size());
  std::vector<double> command(action.size());
  double episode_return = 0;
  int num_steps = 0;
  while (timestep.step_type != StepType::kLast) {
    std::copy(timestep.observation.begin(), timestep.observation.end(), observation.begin());
    policy.Mean(observation, action);
    std::copy(action.begin(), action.end(), command.begin());
    timestep = environment.Step(command);
    episode_return += timestep.reward;
    ++num_steps;
  }
  const Draw& draw = environment.draw();
  const double* position = environment.data().qpos;
  const double speed = position[0] / environment.data().time;
  std::printf(
      "episode %d: slope roll %+.1f pitch %+.1f deg, command %.2f m/s: %d steps, %s, return %.0f, forward "
      "%+.2f m, "
      "sideways %+.2f m, %.3f m/s\n",
      episode, draw.slope.roll_rad / kDegree, draw.slope.pitch_rad / kDegree, draw.command.forward_m_s,
      num_steps, timestep.terminated ? "fell" : "whole", episode_return, position[0], position[1], speed);
  return speed;
}

absl::Status Report(const std::string& file, const std::string& id, int num_episodes, uint64_t seed) {
  ASSIGN_OR_RETURN(const std::string payload, ReadFile(file));
  ASSIGN_OR_RETURN(const std::unique_ptr<Environment> environment, MakeEnvironment(id, seed));
  auto* twin = dynamic_cast<StochLiteEnvironment*>(environment.get());
  if (twin == nullptr) {
    return absl::InvalidArgumentError(id + " is no StochLite");
  }
  const EnvironmentSpec& spec = twin->spec();
  ASSIGN_OR_RETURN(const std::unique_ptr<MlpPolicy> policy,
                   MlpPolicy::Create(payload, spec.observation_size, spec.action_size));
  double total = 0;
  for (int episode = 0; episode < num_episodes; ++episode) {
    total += ReportEpisode(*twin, *policy, episode);
  }
  std::printf("mean speed %.3f m/s over %d episodes\n", total / num_episodes, num_episodes);
  return absl::OkStatus();
}

}  // namespace
}  // namespace demorl::stochlite

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s FILE.safetensors ENVIRONMENT_ID [EPISODES [SEED]]\n", argv[0]);
    return 2;
  }
  const absl::Status status = demorl::stochlite::Report(argv[1], argv[2], argc > 3 ? std::atoi(argv[3]) : 5,
                                                        argc > 4 ? std::strtoull(argv[4], nullptr, 10) : 0);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    return 1;
  }
}
