#include "services/sac_learner/bench_products.h"

#include <array>
#include <chrono>
#include <vector>

#include "ATen/ATen.h"

namespace demorl {

double MeasureProducts(WorkerPool& pool) {
  constexpr int kProducts = 200;
  std::vector<std::array<at::Tensor, 3>> matrices;
  for (int i = 0; i < pool.num_threads(); ++i) {
    matrices.push_back({at::rand({256, 256}), at::rand({256, 256}), at::empty({256, 256})});
  }
  const auto start = std::chrono::steady_clock::now();
  pool.Run([&](int thread) {
    auto& [a, b, product] = matrices[thread];
    for (int i = 0; i < kProducts; ++i) {
      at::mm_out(product, a, b);
    }
  });
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  return pool.num_threads() * kProducts * 2.0 * 256 * 256 * 256 / elapsed.count();
}

}  // namespace demorl
