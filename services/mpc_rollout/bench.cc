// Time of one planning round at the sizes of HalfCheetah, with random networks: mpc_rollout_bench [starts
// [horizon]].

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "common/base/blas_environment.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "services/mpc_rollout/core/rollout_planner.h"

namespace demorl {
namespace {

constexpr int kObservations = 17;
constexpr int kActions = 6;
constexpr int kMembers = 5;

NamedTensor RandomTensor(std::vector<int64_t> shape, double stddev, Random& random) {
  NamedTensor tensor{.shape = std::move(shape)};
  int64_t count = 1;
  for (const int64_t size : tensor.shape) {
    count *= size;
  }
  tensor.values.resize(count);
  random.FillNormal(tensor.values);
  for (float& value : tensor.values) {
    value *= static_cast<float>(stddev);
  }
  return tensor;
}

void AddLayer(const std::string& name, int64_t inputs, int64_t outputs, Random& random, TensorFile* file) {
  file->tensors[name + ".weight"] = RandomTensor({outputs, inputs}, 0.5 / std::sqrt(inputs), random);
  file->tensors[name + ".bias"] = RandomTensor({outputs}, 0, random);
}

void AddTrunk(const std::string& prefix, int64_t inputs, Random& random, TensorFile* file) {
  AddLayer(prefix + "hidden.0", inputs, 256, random, file);
  AddLayer(prefix + "hidden.1", 256, 256, random, file);
}

TensorFile RandomDynamics(Random& random) {
  TensorFile file;
  int64_t inputs = kObservations + kActions;
  const int64_t outputs = 1 + kObservations;
  file.tensors["input_mean"] = RandomTensor({inputs}, 0, random);
  file.tensors["input_stddev"] = {.shape = {inputs}, .values = std::vector<float>(inputs, 1.0F)};
  file.tensors["log_variance_max"] = {.shape = {outputs}, .values = std::vector<float>(outputs, 0.5F)};
  file.tensors["log_variance_min"] = {.shape = {outputs}, .values = std::vector<float>(outputs, -10.0F)};
  for (int layer = 0; layer < 5; ++layer) {
    const int64_t width = layer < 4 ? 200 : 2 * outputs;
    const std::string name = "ensemble." + std::to_string(layer);
    file.tensors[name + ".weight"] = RandomTensor({kMembers, inputs, width}, 0.2 / std::sqrt(inputs), random);
    file.tensors[name + ".bias"] = RandomTensor({kMembers, width}, 0, random);
    inputs = width;
  }
  file.metadata = {{"elite_members", "0,1,2,3,4"}, {"activation", "silu"}};
  return file;
}

TensorFile RandomPolicyTensors(Random& random) {
  TensorFile file;
  AddTrunk("policy.", kObservations, random, &file);
  AddLayer("policy.mean", 256, kActions, random, &file);
  AddLayer("policy.log_stddev", 256, kActions, random, &file);
  file.metadata = {{"log_stddev_min", "-20"}, {"log_stddev_max", "2"}};
  return file;
}

TensorFile RandomValueTensors(Random& random) {
  TensorFile file;
  for (const std::string prefix : {"q.0.", "q.1."}) {
    AddTrunk(prefix, kObservations + kActions, random, &file);
    AddLayer(prefix + "out", 256, 1, random, &file);
  }
  return file;
}

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
