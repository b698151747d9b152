// Steps a native environment on behalf of gymnasium_parity_test.py, over pipes.
//
//   environment_trace --list        prints all native ids, one a line
//   environment_trace ID            prints "O A nq nv max_episode_steps control_period schema_hash", then the
//   bounds of the
//                                   command (A minima, A maxima); then answers requests on standard input:
//     'R' + float64[nq + nv]        starts an episode there; answers float64[O]
//     'D'                           starts a drawn episode; answers float64[O]
//     'S' + float64[A]              one step; answers float64[O], reward, terminated, truncated as float64
#include <cstdio>
#include <string>
#include <vector>

#include "common/env/mujoco_environment.h"
#include "common/env/registry.h"

namespace demorl {
namespace {

bool ReadDoubles(std::vector<double>& values) {
  return std::fread(values.data(), sizeof(double), values.size(), stdin) == values.size();
}

void WriteDoubles(std::span<const double> values) {
  std::fwrite(values.data(), sizeof(double), values.size(), stdout);
}

void PrintSpec(const EnvironmentSpec& spec, int num_positions, int num_velocities) {
  std::printf("%d %d %d %d %d %.17g %s", spec.observation_size, spec.action_size, num_positions,
              num_velocities, spec.max_episode_steps, absl::ToDoubleSeconds(spec.control_period),
              spec.SchemaHash().c_str());
  for (const std::vector<double>& bounds : {spec.command_minimum, spec.command_maximum}) {
    for (const double bound : bounds) {
      std::printf(" %.17g", bound);
    }
  }
  std::printf("\n");
  std::fflush(stdout);
}

int Serve(Environment& environment) {
  auto* mujoco = dynamic_cast<MujocoEnvironment*>(&environment);
  std::vector<double> qpos(mujoco != nullptr ? mujoco->model().nq : 0);
  std::vector<double> qvel(mujoco != nullptr ? mujoco->model().nv : 0);
  std::vector<double> action(environment.spec().action_size);
  PrintSpec(environment.spec(), qpos.size(), qvel.size());
  for (int request = std::getchar(); request != EOF; request = std::getchar()) {
    if (request == 'R' && mujoco != nullptr && ReadDoubles(qpos) && ReadDoubles(qvel)) {
      WriteDoubles(mujoco->StartEpisodeAt(qpos, qvel).observation);
    } else if (request == 'D') {
      WriteDoubles(environment.Reset().observation);
    } else if (request == 'S' && ReadDoubles(action)) {
      const Timestep timestep = environment.Step(action);
      WriteDoubles(timestep.observation);
      WriteDoubles(std::vector<double>{timestep.reward, timestep.terminated ? 1.0 : 0.0,
                                       timestep.truncated ? 1.0 : 0.0});
    } else {
      return 2;
    }
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace demorl

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "--list") {
    for (const std::string& id : demorl::NativeEnvironmentIds()) {
      std::printf("%s\n", id.c_str());
    }
    return 0;
  }
  auto environment = demorl::MakeEnvironment(argc == 2 ? argv[1] : "", 1);
  if (!environment.ok()) {
    std::fprintf(stderr, "%s\n", environment.status().ToString().c_str());
    return 1;
  }
  return demorl::Serve(**environment);
}
