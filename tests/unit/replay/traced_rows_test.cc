#include "services/replay/core/traced_rows.h"

#include "gmock/gmock.h"

namespace demorl {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TraceContext Trace(uint8_t id) { return {.trace_id = {id}, .span_id = {id}}; }

TEST(TracedRowsTest, TheFirstDrawOfAnyRowTakesATraceOnce) {
  TracedRows rows;
  EXPECT_FALSE(rows.AwaitsDraw(true));
  rows.Add(10, 20, Trace(1));
  rows.Add(30, 31, Trace(2));
  EXPECT_THAT(rows.TakeDrawn(std::vector<uint64_t>{0, 9, 20, 29, 31}, true), IsEmpty());
  EXPECT_THAT(rows.TakeDrawn(std::vector<uint64_t>{19, 10, 12}, true), ElementsAre(Trace(1)));
  EXPECT_THAT(rows.TakeDrawn(std::vector<uint64_t>{19, 30}, true), ElementsAre(Trace(2)));
  EXPECT_FALSE(rows.AwaitsDraw(true));
}

TEST(TracedRowsTest, DrawsForOtherUsesDoNotTakeTheTraceFromUpdates) {
  TracedRows rows;
  rows.Add(0, 5, Trace(1));
  EXPECT_THAT(rows.TakeDrawn(std::vector<uint64_t>{3}, false), ElementsAre(Trace(1)));
  EXPECT_FALSE(rows.AwaitsDraw(false));
  EXPECT_TRUE(rows.AwaitsDraw(true));
  EXPECT_THAT(rows.TakeDrawn(std::vector<uint64_t>{3}, true), ElementsAre(Trace(1)));
}

TEST(TracedRowsTest, ReadersGetATraceWithItsFirstRow) {
  TracedRows rows;
  rows.Add(10, 20, Trace(1));
  rows.Add(20, 30, Trace(2));
  rows.TakeDrawn(std::vector<uint64_t>{10, 20}, true);
  EXPECT_THAT(rows.BeginningIn(0, 10), IsEmpty());
  EXPECT_THAT(rows.BeginningIn(10, 20), ElementsAre(Trace(1)));
  EXPECT_THAT(rows.BeginningIn(11, 21), ElementsAre(Trace(2)));
}

TEST(TracedRowsTest, ForgetsTheOldest) {
  TracedRows rows;
  for (uint64_t key = 0; key < 1000; ++key) {
    rows.Add(key, key + 1, Trace(static_cast<uint8_t>(key % 7 + 1)));
  }
  EXPECT_THAT(rows.TakeDrawn(std::vector<uint64_t>{0, 743}, true), IsEmpty());
  EXPECT_THAT(rows.BeginningIn(0, 744), IsEmpty());
  for (uint64_t key = 744; key < 1000; ++key) {
    EXPECT_EQ(rows.TakeDrawn(std::vector<uint64_t>{key}, true).size(), 1u) << key;
  }
  EXPECT_FALSE(rows.AwaitsDraw(true));
  EXPECT_TRUE(rows.AwaitsDraw(false));
}

}  // namespace
}  // namespace demorl
