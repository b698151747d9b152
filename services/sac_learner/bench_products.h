#pragma once

#include "common/concurrency/worker_pool.h"

namespace demorl {

// Floating-point operations a second in products of 256 x 256 matrices on all threads of the pool at once:
// the limit of an update. Blocks for some hundredths of a second.
double MeasureProducts(WorkerPool& pool);

}  // namespace demorl
