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

// Floating point operations of the matrix products of one row.
double Forward(const EnsembleOptions& options, int64_t last_outputs) {
  double products = static_cast<double>(options.inputs * options.hidden_sizes.front());
  for (size_t layer = 1; layer < options.hidden_sizes.size(); ++layer) {
    products += static_cast<double>(options.hidden_sizes[layer - 1] * options.hidden_sizes[layer]);
  }
  return 2 * (products + static_cast<double>(options.hidden_sizes.back() * last_outputs));
}

double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  return elapsed.count();
}

// The limit is this library's product of [256, 200] and [200, 200], measured in turns with the work.
void Report(const char* figure, const char* unit, int threads, double amount, double operations_per_unit,
            const std::function<void()>& work) {
  constexpr int kProducts = 200;
  const at::Tensor a = at::ones({256, 200}), b = at::ones({200, 200});
  at::Tensor c = at::empty({256, 200});
  std::vector<double> rates, limits;
  for (int run = -1; run < kRuns; ++run) {  // the first one warms up
    const double seconds = Seconds(work);
    const double product_seconds = Seconds([&] {
      for (int i = 0; i < kProducts; ++i) {
        at::mm_out(c, a, b);
      }
    });
    if (run >= 0) {
      rates.push_back(amount / seconds);
      limits.push_back(kProducts * 2.0 * 256 * 200 * 200 / product_seconds / operations_per_unit);
    }
  }
  std::sort(rates.begin(), rates.end());
  std::sort(limits.begin(), limits.end());
  const double rate = rates[kRuns / 2], limit = limits[kRuns / 2];
  std::printf(
      "{\"figure\": \"%s\", \"threads\": %d, \"value\": %.4g, \"unit\": \"%s\", \"limit\": %.4g, "
      "\"ratio_to_limit\": %.3f, \"runs\": {\"min\": %.4g, \"median\": %.4g, \"max\": %.4g}}\n",
      figure, threads, rate, unit, limit, rate / limit, rates.front(), rate, rates.back());
}

int Main(int observation_size, int action_size, int threads) {
  SetTorchThreads(threads);
  Random random(1);
  const int64_t inputs = observation_size + action_size, outputs = 1 + observation_size;
  GaussianEnsemble ensemble({.inputs = inputs, .outputs = outputs}, random);
  constexpr int64_t kRows = 4096, kSteps = 30;
  const at::Tensor data = Normal(random, {kRows, inputs}), targets = Normal(random, {kRows, outputs});
  const at::Tensor rows = at::arange(7 * 256, at::kLong).view({7, 256});
  const EnsembleOptions& options = ensemble.options();
  // Forward, by weights, and by inputs but for the first layer.
  const double row_operations = 3 * Forward(options, 2 * outputs) - 2.0 * inputs * options.hidden_sizes[0];
  Report("ensemble_training", "steps/s", threads, kSteps, 7 * 256 * row_operations, [&] {
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
      Report(figure, "rows/s", threads, batch, Forward(options, sampled ? 2 * outputs : outputs), [&] {
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
