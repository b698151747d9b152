#pragma once

#include <cstdint>

namespace demorl {

// SiLU, x sigmoid(x), fused with what stands around it in a layer, over row-major [rows, columns] arrays on
// the CPU. The exponential is a polynomial good to about 1e-7 relative; not-a-number stays what it is.

// values = silu(values + bias).
void AddBiasSilu(int64_t rows, int64_t columns, const float* bias, float* values);

// z = values + bias: result = silu(z), values = d silu / dz.
void AddBiasSiluWithSlope(int64_t rows, int64_t columns, const float* bias, float* values, float* result);

// values *= factors; column_sums = sums over the rows of the products.
void MultiplyAndSumColumns(int64_t rows, int64_t columns, const float* factors, float* values,
                           float* column_sums);

// values += bias.
void AddBias(int64_t rows, int64_t columns, const float* bias, float* values);

}  // namespace demorl
