// Under ThreadSanitizer the first test is silent and the second reports a race; CTest wants exactly that
// (PASS and FAIL expressions in CMakeLists.txt). It guards tools/tsan/absl_annotations.cc against seeing too
// little or too much.

#include <gtest/gtest.h>

#include <thread>

#include "absl/synchronization/mutex.h"

namespace demorl {
namespace {

TEST(TsanTest, AcceptsAccessesUnderAMutexAndThroughAwait) {
  absl::Mutex mutex;
  int value = 0;
  std::thread writer([&] {
    absl::MutexLock lock(&mutex);
    value = 1;
  });
  {
    absl::MutexLock lock(&mutex);
    mutex.Await(absl::Condition(
        +[](int* v) { return *v == 1; }, &value));
    value = 2;
  }
  writer.join();
  EXPECT_EQ(value, 2);
}

TEST(TsanTest, ReportsUnguardedAccesses) {
  int raced_value = 0;
  std::thread writer([&] { raced_value = 1; });
  raced_value = 2;
  writer.join();
  EXPECT_GE(raced_value, 1);
}

}  // namespace
}  // namespace demorl
