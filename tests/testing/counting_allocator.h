#pragma once

#include <cstdint>

namespace demorl {

// Whether this build counts; sanitizers bring their own allocator.
bool CountsAllocations();

// Calls of operator new so far, on all threads.
int64_t NumAllocations();

}  // namespace demorl
