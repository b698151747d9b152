// Updates per second of SacLearner on random batches, and the limit that this machine sets: the same number
// of floating-point operations in products of 256 x 256 matrices alone, measured in turn with it. One JSON
// line per figure.
//
//   sac_learner_bench [OBSERVATION_SIZE ACTION_SIZE [BATCH_SIZE [NUM_THREADS]]]

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "common/base/blas_environment.h"
#include "common/base/random.h"
#include "common/concurrency/worker_pool.h"
#include "services/sac_learner/bench_products.h"
#include "services/sac_learner/core/sac_learner.h"

namespace demorl {
namespace {

TransitionBatch RandomBatch(int rows, int observation_size, int action_size, Random& random) {
  TransitionBatch batch;
  batch.Resize(rows, observation_size, action_size);
  random.FillNormal(batch.observations);
  random.FillNormal(batch.next_observations);
  random.FillNormal(batch.rewards);
  for (float& value : batch.actions) {
    value = static_cast<float>(random.Uniform(-1, 1));
  }
  return batch;
}

// Floating-point operations in the matrix products of an update: each weight serves 2 operations a row
// forward, 2 for the gradient by its input and 2 for its own.
double UpdateOperations(int observation_size, int action_size, int batch_size) {
  constexpr double kUnits = 256;
  const double policy_first = observation_size * kUnits, policy_last = kUnits * 2 * action_size;
  const double q_first = (observation_size + action_size) * kUnits, q_last = kUnits;
  const double hidden = kUnits * kUnits;
  const double policy = policy_first + hidden + policy_last, q = q_first + hidden + q_last;
  // Policy of s and s'; both q of the stored action, of the policy's and, by the targets, of the next.
  const double forward = 2 * policy + 2 * 3 * q;
  // By hidden inputs: policy of s, both q of two actions; by the action: both q. By weights: policy, both q.
  const double backward = (hidden + policy_last) + 2 * 2 * (hidden + q_last) + 2 * action_size * kUnits;
  return 2.0 * batch_size * (forward + backward + policy + 2 * q);
}

int Measure(int observation_size, int action_size, int batch_size, int num_threads) {
  SacLearner::Options options;
  options.observation_size = observation_size;
  options.action_size = action_size;
  options.config.set_num_threads(num_threads);
  auto learner = SacLearner::Create(options);
  if (!learner.ok()) {
    std::fprintf(stderr, "%s\n", learner.status().ToString().c_str());
    return 1;
  }
  Random random(1);
  std::vector<TransitionBatch> batches;
  for (int i = 0; i < 8; ++i) {
    batches.push_back(RandomBatch(batch_size, observation_size, action_size, random));
  }
  constexpr int kRuns = 21, kUpdates = 60;
  const double operations = UpdateOperations(observation_size, action_size, batch_size);
  WorkerPool pool(num_threads, "bench");
  std::vector<double> rates, limits;
  for (int run = -1; run < kRuns; ++run) {  // the first one warms up
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kUpdates; ++i) {
      if (!(*learner)->Update(batches[i % batches.size()]).ok()) {
        return 1;
      }
    }
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    const double products = MeasureProducts(pool);
    if (run >= 0) {
      limits.push_back(products / operations);
      rates.push_back(kUpdates / elapsed.count());
    }
  }
  std::sort(rates.begin(), rates.end());
  std::sort(limits.begin(), limits.end());
  std::printf(
      "{\"figure\": \"sac_updates_per_second\", \"shape\": \"obs %d, act %d, 256x256, batch %d\", "
      "\"threads\": %d, "
      "\"value\": %.1f, \"unit\": \"1/s\", \"runs\": [%.1f, %.1f, %.1f], \"limit\": %.1f, "
      "\"ratio_to_limit\": %.2f}\n",
      observation_size, action_size, batch_size, num_threads, rates[kRuns / 2], rates.front(),
      rates[kRuns / 2], rates.back(), limits[kRuns / 2], rates[kRuns / 2] / limits[kRuns / 2]);
  return 0;
}

}  // namespace
}  // namespace demorl

int main(int argc, char** argv) {
  demorl::UseFastestBlas(argv);
  const auto argument = [&](int index, int otherwise) {
    return argc > index ? std::atoi(argv[index]) : otherwise;
  };
  return demorl::Measure(argument(1, 17), argument(2, 6), argument(3, 256), argument(4, 2));
}
