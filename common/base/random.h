#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "absl/strings/string_view.h"

namespace demorl {

// Derives an independent seed for a named part of the program, so that one root seed feeds every stream and
// adding a part changes no other. FNV-1a over the name, mixed by SplitMix64.
uint64_t SplitSeed(uint64_t root_seed, absl::string_view name, uint64_t index = 0);

// Reproducible random stream: the same seed gives the same numbers on every platform, which the standard
// library's distributions do not promise. xoshiro256++ [Blackman and Vigna 2019]. Thread-compatible.
class Random {
 public:
  explicit Random(uint64_t seed);

  uint64_t NextUint64();

  // Uniform in [0, 1), 53 bits.
  double Uniform();

  // Uniform in [low, high).
  double Uniform(double low, double high) { return low + (high - low) * Uniform(); }

  // Uniform in [0, bound), without bias; bound > 0.
  uint64_t Index(uint64_t bound);

  // Standard normal, polar method; draws come in pairs and the second is kept.
  double Normal();

  // Fills `values` with independent standard normal draws.
  void FillNormal(std::span<float> values);

  // The whole state, for checkpoints: 4 words of the generator, then whether a spare normal is kept and its
  // bits.
  using State = std::array<uint64_t, 6>;
  State SaveState() const;
  void RestoreState(const State& state);

 private:
  std::array<uint64_t, 4> words_;
  bool has_spare_ = false;
  double spare_ = 0;
};

}  // namespace demorl
