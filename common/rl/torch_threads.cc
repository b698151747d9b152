#include "common/rl/torch_threads.h"

#include "ATen/Parallel.h"

// Present when LibTorch runs on OpenBLAS, absent with another BLAS.
extern "C" void openblas_set_num_threads(int) __attribute__((weak));

namespace demorl {

void SetTorchThreads(int num_threads) {
  at::set_num_threads(num_threads);
  if (openblas_set_num_threads != nullptr) {
    openblas_set_num_threads(num_threads);
  }
}

}  // namespace demorl
