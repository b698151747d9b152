#pragma once

namespace demorl {

// Sets the intra-op threads of LibTorch and of OpenBLAS under it, for the whole process.
void SetTorchThreads(int num_threads);

}  // namespace demorl
