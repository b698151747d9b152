#include "services/mpc_rollout/bench/random_networks.h"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

namespace demorl {
namespace {

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

}  // namespace

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

}  // namespace demorl
