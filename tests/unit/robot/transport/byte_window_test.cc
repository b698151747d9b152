#include "common/robot/transport/byte_window.h"

#include <algorithm>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace demorl {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

TEST(ByteWindowTest, KeepsWhatIsUnreadInOrder) {
  ByteWindow window(4);
  window.Push(std::vector<uint8_t>{1, 2, 3});
  window.Consume(2);
  window.Push(std::vector<uint8_t>{4, 5});
  EXPECT_THAT(window.unread(), ElementsAre(3, 4, 5));
  EXPECT_EQ(window.skipped_bytes(), 0);
}

TEST(ByteWindowTest, SkipsTheOldestBytesThatNoLongerFit) {
  ByteWindow window(4);
  window.Push(std::vector<uint8_t>{1, 2, 3});
  window.Push(std::vector<uint8_t>{4, 5, 6});
  EXPECT_THAT(window.unread(), ElementsAre(3, 4, 5, 6));
  EXPECT_EQ(window.skipped_bytes(), 2);
  window.Push(std::vector<uint8_t>{7, 8, 9, 10, 11, 12});
  EXPECT_THAT(window.unread(), ElementsAre(9, 10, 11, 12));
  EXPECT_EQ(window.skipped_bytes(), 8);
}

TEST(ByteWindowTest, FreeSpaceIsAllThatIsNotUnread) {
  ByteWindow window(4);
  window.Push(std::vector<uint8_t>{1, 2, 3});
  window.Skip(1);
  const std::span<uint8_t> free = window.FreeSpace();
  ASSERT_EQ(free.size(), 2);
  std::fill(free.begin(), free.end(), 9);
  window.Commit(2);
  EXPECT_THAT(window.unread(), ElementsAreArray({2, 3, 9, 9}));
  window.Clear();
  EXPECT_TRUE(window.unread().empty());
  EXPECT_EQ(window.skipped_bytes(), 1);
}

}  // namespace
}  // namespace demorl
