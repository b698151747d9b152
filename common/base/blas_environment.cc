#include "common/base/blas_environment.h"

#include <stdlib.h>
#include <unistd.h>

namespace demorl {
namespace {

// Set before the one re-execution, so that a variable that does not stick cannot cause another.
constexpr char kGuard[] = "DEMORL_BLAS_ENVIRONMENT";

bool HasAvx512() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#else
  return false;
#endif
}

// Returns whether the variable was missing.
bool SetIfMissing(const char* name, const char* value) {
  if (getenv(name) != nullptr) {
    return false;
  }
  setenv(name, value, 1);
  return true;
}

}  // namespace

void UseFastestBlas(char** argv) {
  if (getenv(kGuard) != nullptr) {
    return;
  }
  setenv(kGuard, "1", 1);
  bool changed = SetIfMissing("OPENBLAS_NUM_THREADS", "1");
  changed |= SetIfMissing("OMP_NUM_THREADS", "1");
  if (HasAvx512()) {
    changed |= SetIfMissing("OPENBLAS_CORETYPE", "SkylakeX");
  }
  if (changed) {
    execv("/proc/self/exe", argv);  // on failure the program goes on, only slower
  }
}

}  // namespace demorl
