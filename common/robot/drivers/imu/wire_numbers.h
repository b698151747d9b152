#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace demorl {

// Numbers as they stand in messages. The callers have checked the sizes.

template <std::unsigned_integral Word>
Word LoadBigEndian(std::span<const uint8_t> bytes) {
  Word word = 0;
  for (size_t i = 0; i < sizeof(Word); ++i) {
    word = static_cast<Word>((word << 8) | bytes[i]);
  }
  return word;
}

template <std::unsigned_integral Word>
Word LoadLittleEndian(std::span<const uint8_t> bytes) {
  Word word = 0;
  for (size_t i = sizeof(Word); i > 0; --i) {
    word = static_cast<Word>((word << 8) | bytes[i - 1]);
  }
  return word;
}

template <std::unsigned_integral Word>
void AppendBigEndian(Word word, std::vector<uint8_t>& bytes) {
  for (size_t i = sizeof(Word); i > 0; --i) {
    bytes.push_back(static_cast<uint8_t>(word >> (8 * (i - 1))));
  }
}

template <std::unsigned_integral Word>
void AppendLittleEndian(Word word, std::vector<uint8_t>& bytes) {
  for (size_t i = 0; i < sizeof(Word); ++i) {
    bytes.push_back(static_cast<uint8_t>(word >> (8 * i)));
  }
}

inline uint32_t FloatBits(double value) { return std::bit_cast<uint32_t>(static_cast<float>(value)); }
inline double FloatOf(uint32_t bits) { return std::bit_cast<float>(bits); }

template <size_t kSize>
bool AllFinite(const std::array<double, kSize>& values) {
  for (const double value : values) {
    if (!std::isfinite(value)) {
      return false;
    }
  }
  return true;
}

}  // namespace demorl
