#include "common/base/random.h"

#include <cmath>
#include <set>
#include <vector>

#include "gtest/gtest.h"

namespace demorl {
namespace {

TEST(RandomTest, SameSeedGivesTheSameStreamAndAnotherSeedAnother) {
  Random a(7), b(7), c(8);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const uint64_t draw = a.NextUint64();
    EXPECT_EQ(draw, b.NextUint64());
    differs |= draw != c.NextUint64();
  }
  EXPECT_TRUE(differs);
}

TEST(RandomTest, RestoredStateContinuesBitByBitAlsoBetweenTheTwoNormalsOfAPair) {
  Random original(3);
  original.Normal();  // leaves the second normal of the pair kept
  Random restored(0);
  restored.RestoreState(original.SaveState());
  for (int i = 0; i < 9; ++i) {
    EXPECT_EQ(original.Normal(), restored.Normal());
  }
}

TEST(RandomTest, NormalHasMeanZeroAndVarianceOne) {
  Random random(1);
  constexpr int kDraws = 200'000;
  double sum = 0, sum_squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double draw = random.Normal();
    sum += draw;
    sum_squares += draw * draw;
  }
  // Bands of 5 standard errors: 1 / sqrt(n) for the mean, sqrt(2 / n) for the variance.
  EXPECT_NEAR(sum / kDraws, 0, 5 / std::sqrt(kDraws));
  EXPECT_NEAR(sum_squares / kDraws, 1, 5 * std::sqrt(2.0 / kDraws));
}

TEST(RandomTest, IndexIsUniformBelowABoundThatDividesNoPowerOfTwo) {
  Random random(5);
  constexpr int kBound = 7, kDraws = 140'000;
  std::vector<int> counts(kBound);
  for (int i = 0; i < kDraws; ++i) {
    ++counts[random.Index(kBound)];
  }
  const double expected = 1.0 * kDraws / kBound;
  for (const int count : counts) {
    EXPECT_NEAR(count, expected, 5 * std::sqrt(expected));
  }
}

TEST(SplitSeedTest, NamesAndIndicesGiveDifferentStreams) {
  std::set<uint64_t> seeds = {SplitSeed(1, "actor"), SplitSeed(1, "learner"), SplitSeed(2, "actor"),
                              SplitSeed(1, "actor", 1), SplitSeed(1, "actor", 2)};
  EXPECT_EQ(seeds.size(), 5u);
  EXPECT_EQ(SplitSeed(1, "actor"), SplitSeed(1, "actor", 0));
}

}  // namespace
}  // namespace demorl
