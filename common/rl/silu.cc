#include "common/rl/silu.h"

#include <algorithm>
#include <bit>
#include <cstdint>

// The loops are compiled for several instruction sets and picked at load time.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define DEMORL_VECTOR_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define DEMORL_VECTOR_CLONES
#endif

namespace demorl {
namespace {

// exp(x) = 2^n exp(r), |r| <= ln(2) / 2, with the Taylor polynomial of degree 6 of exp(r). Clamped to where
// 2^n is a normal number.
[[gnu::always_inline]] inline float Exponential(float x) {
  constexpr float kLog2E = 1.44269504f, kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  // Adding and taking away 1.5 * 2^23 rounds to the nearest integer, which then stands in the low bits.
  constexpr float kRound = 12582912.0f;
  x = x > 87.0f ? 87.0f : x;
  x = x < -87.0f ? -87.0f : x;
  const float shifted = x * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float p = 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const uint32_t exponent = (std::bit_cast<uint32_t>(shifted) + 127u) << 23;
  return p * std::bit_cast<float>(exponent);
}

[[gnu::always_inline]] inline float Sigmoid(float x) { return 1.0f / (1.0f + Exponential(-x)); }

}  // namespace

DEMORL_VECTOR_CLONES
void AddBiasSilu(int64_t rows, int64_t columns, const float* __restrict bias, float* __restrict values) {
  for (int64_t row = 0; row < rows; ++row) {
    float* __restrict line = values + row * columns;
    for (int64_t i = 0; i < columns; ++i) {
      const float z = line[i] + bias[i];
      line[i] = z * Sigmoid(z);
    }
  }
}

DEMORL_VECTOR_CLONES
void AddBiasSiluWithSlope(int64_t rows, int64_t columns, const float* __restrict bias,
                          float* __restrict values, float* __restrict result) {
  for (int64_t row = 0; row < rows; ++row) {
    float* __restrict line = values + row * columns;
    float* __restrict out = result + row * columns;
    for (int64_t i = 0; i < columns; ++i) {
      const float z = line[i] + bias[i];
      const float sigmoid = Sigmoid(z);
      out[i] = z * sigmoid;
      line[i] = sigmoid * (1.0f + z * (1.0f - sigmoid));
    }
  }
}

DEMORL_VECTOR_CLONES
void MultiplyAndSumColumns(int64_t rows, int64_t columns, const float* __restrict factors,
                           float* __restrict values, float* __restrict column_sums) {
  std::fill(column_sums, column_sums + columns, 0.0f);
  for (int64_t row = 0; row < rows; ++row) {
    const float* __restrict factor = factors + row * columns;
    float* __restrict line = values + row * columns;
    for (int64_t i = 0; i < columns; ++i) {
      line[i] *= factor[i];
      column_sums[i] += line[i];
    }
  }
}

DEMORL_VECTOR_CLONES
void AddBias(int64_t rows, int64_t columns, const float* __restrict bias, float* __restrict values) {
  for (int64_t row = 0; row < rows; ++row) {
    float* __restrict line = values + row * columns;
    for (int64_t i = 0; i < columns; ++i) {
      line[i] += bias[i];
    }
  }
}

}  // namespace demorl
