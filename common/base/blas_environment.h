#pragma once

namespace demorl {

// Prepares the environment in which LibTorch's BLAS loads; call first in the main function of a program that
// links LibTorch. May re-execute the program (once, same arguments): OpenBLAS reads these variables while it
// is being loaded, before main.
//
//   OPENBLAS_CORETYPE=SkylakeX   where the CPU has AVX-512: Debian's OpenBLAS 0.3.21 does not know newer AMD
//   cores
//                                and falls back to its Haswell kernels, which reach 60 % of the speed
//   OPENBLAS_NUM_THREADS=1       matrices of this project are small, and OpenBLAS's threads and LibTorch's
//   OpenMP OMP_NUM_THREADS=1            threads on the same cores cost a factor of five
//
// Variables that the user has set stay as they are. Does nothing when all are set, so that it cannot loop.
void UseFastestBlas(char** argv);

}  // namespace demorl
