#include <cmath>
#include <vector>

#include "gtest/gtest.h"
#include "services/replay/core/selectors/fifo.h"
#include "services/replay/core/selectors/uniform.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;

class KeyList final : public RowIndex {
 public:
  explicit KeyList(std::vector<uint64_t> keys) : keys_(std::move(keys)) {}
  int64_t size() const override { return static_cast<int64_t>(keys_.size()); }
  uint64_t key(int64_t index) const override { return keys_[static_cast<size_t>(index)]; }
  int64_t LowerBound(uint64_t key) const override {
    return std::lower_bound(keys_.begin(), keys_.end(), key) - keys_.begin();
  }

 private:
  std::vector<uint64_t> keys_;
};

TEST(UniformSelectorTest, DrawsEveryRowEquallyOften) {
  constexpr int kRows = 20, kDraws = 200'000;
  const KeyList rows{std::vector<uint64_t>(kRows)};
  UniformSelector selector(3);
  std::vector<int> counts(kRows);
  for (int i = 0; i < kDraws; ++i) {
    const Selection selection = selector.Select(rows);
    EXPECT_DOUBLE_EQ(selection.probability, 1.0 / kRows);
    ++counts[static_cast<size_t>(selection.index)];
  }
  const double p = 1.0 / kRows;
  const double stddev = std::sqrt(kDraws * p * (1 - p));  // binomial: 97
  for (const int count : counts) {
    EXPECT_NEAR(count, kDraws * p, 4 * stddev);
  }
}

TEST(UniformSelectorTest, SameSeedSameDrawsOtherSeedOthers) {
  const KeyList rows{std::vector<uint64_t>(1000)};
  UniformSelector one(5), same(5), other(6);
  int differences = 0;
  for (int i = 0; i < 100; ++i) {
    const int64_t index = one.Select(rows).index;
    EXPECT_EQ(index, same.Select(rows).index);
    differences += index != other.Select(rows).index;
  }
  EXPECT_GT(differences, 90);
}

TEST(UniformSelectorTest, ContinuesItsStreamFromASavedState) {
  const KeyList rows{std::vector<uint64_t>(1000)};
  UniformSelector one(5), restored(99);
  one.Select(rows);
  ASSERT_OK(restored.RestoreState(one.SaveState()));
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(one.Select(rows).index, restored.Select(rows).index);
  }
  EXPECT_THAT(restored.RestoreState("short"), StatusIs(absl::StatusCode::kDataLoss, ::testing::_));
}

TEST(FifoSelectorTest, HandsOutEachRowOnceInOrder) {
  FifoSelector selector;
  const KeyList rows({3, 4, 8});
  EXPECT_TRUE(selector.CanSelect(rows, 3));
  EXPECT_FALSE(selector.CanSelect(rows, 4));
  EXPECT_EQ(selector.Select(rows).index, 0);
  EXPECT_EQ(selector.Select(rows).index, 1);
  // Key 8 has left unseen, 9 and 10 have come.
  const KeyList later({9, 10});
  EXPECT_EQ(selector.Select(later).index, 0);
  FifoSelector restored;
  ASSERT_OK(restored.RestoreState(selector.SaveState()));
  EXPECT_TRUE(restored.CanSelect(later, 1));
  EXPECT_EQ(restored.Select(later).index, 1);
  EXPECT_FALSE(restored.CanSelect(later, 1));
}

}  // namespace
}  // namespace demorl
