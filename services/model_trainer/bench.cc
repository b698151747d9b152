// Training steps of the ensemble and predicted rows per second, on random numbers; one JSON line per figure.
//
//   model_trainer_bench [OBSERVATION_SIZE ACTION_SIZE [NUM_THREADS]]

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

#include "common/base/blas_environment.h"
#include "common/rl/ensemble_inference.h"
#include "common/rl/gaussian_ensemble.h"
#include "common/rl/tensor_convert.h"
#include "common/rl/torch_threads.h"

namespace demorl {
namespace {

constexpr int kRuns = 7;

at::Tensor Normal(Random& random, at::IntArrayRef shape) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  random.FillNormal({tensor.data_ptr<float>(), static_cast<size_t>(tensor.numel())});
  return tensor;
}

void Report(const char* figure, const char* unit, int threads, double amount,
            const std::function<void()>& work) {
  std::vector<double> rates;
  for (int run = -1; run < kRuns; ++run) {  // the first one warms up
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    if (run >= 0) {
      rates.push_back(amount / elapsed.count());
    }
  }
  std::sort(rates.begin(), rates.end());
  std::printf(
      "{\"figure\": \"%s\", \"threads\": %d, \"value\": %.4g, \"unit\": \"%s\", \"runs\": "
      "{\"min\": %.4g, \"median\": %.4g, \"max\": %.4g}}\n",
      figure, threads, rates[kRuns / 2], unit, rates.front(), rates[kRuns / 2], rates.back());
}

int Main(int observation_size, int action_size, int threads) {
  SetTorchThreads(threads);
  Random random(1);
  const int64_t inputs = observation_size + action_size, outputs = 1 + observation_size;
  GaussianEnsemble ensemble({.inputs = inputs, .outputs = outputs}, random);
  constexpr int64_t kRows = 4096, kSteps = 30;
  const at::Tensor data = Normal(random, {kRows, inputs}), targets = Normal(random, {kRows, outputs});
  const at::Tensor rows = at::arange(7 * 256, at::kLong).view({7, 256});
  Report("ensemble_training", "steps/s", threads, kSteps, [&] {
    for (int step = 0; step < kSteps; ++step) {
      ensemble.TrainStep(data, targets, rows);
    }
  });

  TensorFile file;
  ensemble.Export(&file);
  file.metadata["elite_members"] = "0,1,2,3,4";
  auto inference = EnsembleInference::FromTensors(file, observation_size, action_size);
  if (!inference.ok()) {
    std::fprintf(stderr, "%s\n", inference.status().ToString().c_str());
    return 1;
  }
  for (const int batch : {1000, 10000, 100000}) {
    std::vector<float> observations(batch * observation_size), actions(batch * action_size);
    std::vector<float> draws(batch * outputs);
    random.FillNormal(observations);
    random.FillNormal(actions);
    random.FillNormal(draws);
    std::vector<int> members(batch);
    for (int& member : members) {
      member = static_cast<int>(random.Index(5));
    }
    ModelStepResult result;
    char figure[64];
    for (const bool sampled : {false, true}) {
      std::snprintf(figure, sizeof(figure), "ensemble_%s_batch_%d", sampled ? "samples" : "means", batch);
      Report(figure, "rows/s", threads, batch, [&] {
        (void)(*inference)
            ->Step(observations, actions, members,
                   sampled ? std::span<const float>(draws) : std::span<const float>(), &result);
      });
    }
  }
  return 0;
}

}  // namespace
}  // namespace demorl

int main(int argc, char** argv) {
  demorl::UseFastestBlas(argv);
  const auto argument = [&](int index, int otherwise) {
    return argc > index ? std::atoi(argv[index]) : otherwise;
  };
  return demorl::Main(argument(1, 17), argument(2, 6), argument(3, 1));
}
