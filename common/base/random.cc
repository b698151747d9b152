#include "common/base/random.h"

#include <bit>
#include <cmath>

namespace demorl {
namespace {

uint64_t SplitMix64(uint64_t& state) {
  uint64_t z = (state += 0x9e3779b97f4a7c15ULL);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

}  // namespace

uint64_t SplitSeed(uint64_t root_seed, absl::string_view name, uint64_t index) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (const unsigned char c : name) {
    hash = (hash ^ c) * 0x100000001b3ULL;
  }
  uint64_t state = root_seed;
  state = SplitMix64(state) ^ hash;
  state = SplitMix64(state) ^ index;
  return SplitMix64(state);
}

Random::Random(uint64_t seed) {
  for (uint64_t& word : words_) {
    word = SplitMix64(seed);
  }
}

uint64_t Random::NextUint64() {
  const uint64_t result = std::rotl(words_[0] + words_[3], 23) + words_[0];
  const uint64_t shifted = words_[1] << 17;
  words_[2] ^= words_[0];
  words_[3] ^= words_[1];
  words_[1] ^= words_[2];
  words_[0] ^= words_[3];
  words_[2] ^= shifted;
  words_[3] = std::rotl(words_[3], 45);
  return result;
}

double Random::Uniform() { return static_cast<double>(NextUint64() >> 11) * 0x1.0p-53; }

uint64_t Random::Index(uint64_t bound) {
  const uint64_t threshold = -bound % bound;  // rejects the part that would favour small indices
  while (true) {
    const uint64_t draw = NextUint64();
    if (draw >= threshold) {
      return draw % bound;
    }
  }
}

double Random::Normal() {
  if (has_spare_) {
    has_spare_ = false;
    return spare_;
  }
  double x, y, squared_radius;
  do {
    x = 2 * Uniform() - 1;
    y = 2 * Uniform() - 1;
    squared_radius = x * x + y * y;
  } while (squared_radius >= 1 || squared_radius == 0);
  const double scale = std::sqrt(-2 * std::log(squared_radius) / squared_radius);
  spare_ = y * scale;
  has_spare_ = true;
  return x * scale;
}

void Random::FillNormal(std::span<float> values) {
  for (float& value : values) {
    value = static_cast<float>(Normal());
  }
}

Random::State Random::SaveState() const {
  return {words_[0], words_[1], words_[2], words_[3], has_spare_ ? 1u : 0u, std::bit_cast<uint64_t>(spare_)};
}

void Random::RestoreState(const State& state) {
  words_ = {state[0], state[1], state[2], state[3]};
  has_spare_ = state[4] != 0;
  spare_ = std::bit_cast<double>(state[5]);
}

}  // namespace demorl
