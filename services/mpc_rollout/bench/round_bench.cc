// Time of one planning round at the sizes of HalfCheetah, with random networks: mpc_rollout_bench [starts
// [horizon]].

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "common/base/blas_environment.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "services/mpc_rollout/bench/random_networks.h"
#include "services/mpc_rollout/core/rollout_planner.h"

namespace demorl {
namespace {

absl::Status Run(int num_starts, int horizon) {
  RolloutPlanner::Options options{.observation_size = kObservations,
                                  .action_size = kActions,
                                  .termination_rule = [](std::span<const float>) { return false; }};
  options.config.mutable_horizon()->set_start_value(horizon);
  options.config.mutable_horizon()->set_end_value(horizon);
  auto planner = RolloutPlanner::Create(options);
  if (!planner.ok()) {
    return planner.status();
  }
  Random random(1);
  absl::Status status = (*planner)->SetDynamics(RandomDynamics(random), 1);
  status.Update((*planner)->SetPolicy(RandomPolicyTensors(random), 1));
  status.Update((*planner)->SetValue(RandomValueTensors(random), 1));
  std::vector<float> starts(static_cast<size_t>(num_starts) * kObservations);
  random.FillNormal(starts);
  for (int round = 0; round < 3 && status.ok(); ++round) {
    const absl::Duration begin = RealClock::Get().Now();
    const auto report = (*planner)->PlanRound(starts, 0);
    const double seconds = absl::ToDoubleSeconds(RealClock::Get().Now() - begin);
    status.Update(report.status());
    const double rows = 100.0 * num_starts * horizon;
    std::printf(
        "{\"figure\": \"planning_round\", \"starts\": %d, \"horizon\": %d, \"seconds\": %.3f, "
        "\"model_rows_per_s\": %.0f}\n",
        num_starts, horizon, seconds, rows / seconds);
  }
  return status;
}

}  // namespace
}  // namespace demorl

int main(int argc, char** argv) {
  demorl::UseFastestBlas(argv);
  const absl::Status status =
      demorl::Run(argc > 1 ? std::atoi(argv[1]) : 1000, argc > 2 ? std::atoi(argv[2]) : 5);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
  }
  return status.ok() ? 0 : 1;
}
