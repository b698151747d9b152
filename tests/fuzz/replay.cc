// Runs a fuzz target without libFuzzer: on its seeds, and on mutations of them that are the same everywhere.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "common/base/file_io.h"
#include "common/base/random.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace demorl {
namespace {

constexpr int kNumMutations = 20'000;
constexpr size_t kMaxBytes = 1024;

void RunTarget(const std::string& input) {
  // Exactly sized, so that AddressSanitizer sees a read past the end.
  const std::vector<uint8_t> bytes(input.begin(), input.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

std::vector<std::string> Seeds() {
  const char* folder = std::getenv("DEMORL_FUZZ_CORPUS");
  if (folder == nullptr) {
    ADD_FAILURE() << "DEMORL_FUZZ_CORPUS names no folder of seeds";
    return {};
  }
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> seeds;
  for (const auto& path : paths) {
    seeds.push_back(ReadFile(path).value());
  }
  return seeds;
}

void Mutate(Random& random, const std::vector<std::string>& seeds, std::string& input) {
  const size_t position = random.Index(input.size() + 1);
  switch (random.Index(6)) {
    case 0:
      input.insert(position, 1, static_cast<char>(random.Index(256)));
      break;
    case 1:
      input.erase(position, 1 + random.Index(4));
      break;
    case 2:
      input.insert(position, seeds[random.Index(seeds.size())]);
      break;
    case 3:
      input.resize(position);
      break;
    default:
      if (position < input.size()) {
        input[position] = static_cast<char>(input[position] ^ (1 << random.Index(8)));
      }
  }
  input.resize(std::min(input.size(), kMaxBytes));
}

TEST(FuzzReplayTest, SurvivesEverySeed) {
  const std::vector<std::string> seeds = Seeds();
  ASSERT_FALSE(seeds.empty());
  for (const std::string& seed : seeds) {
    RunTarget(seed);
  }
  RunTarget("");
}

TEST(FuzzReplayTest, SurvivesMutationsOfTheSeeds) {
  const std::vector<std::string> seeds = Seeds();
  ASSERT_FALSE(seeds.empty());
  Random random(SplitSeed(0, "fuzz replay"));
  for (int i = 0; i < kNumMutations; ++i) {
    std::string input = seeds[random.Index(seeds.size())];
    for (uint64_t left = 1 + random.Index(8); left > 0; --left) {
      Mutate(random, seeds, input);
    }
    RunTarget(input);
  }
}

}  // namespace
}  // namespace demorl
