#include "common/base/file_io.h"

#include <filesystem>
#include <fstream>

#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

class FileIoTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    ASSERT_OK(MakeFolders(folder_));
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_;
};

TEST_F(FileIoTest, WritesReplaceAndLeaveNoTemporaryBehind) {
  ASSERT_OK(WriteFileAtomically(folder_ / "a", "one"));
  ASSERT_OK(WriteFileAtomically(folder_ / "a", std::string("t\0o", 3)));
  ASSERT_OK_AND_ASSIGN(const std::string contents, ReadFile(folder_ / "a"));
  EXPECT_EQ(contents, std::string("t\0o", 3));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

TEST_F(FileIoTest, AppendAddsAtTheEnd) {
  ASSERT_OK(AppendToFile(folder_ / "log", "a"));
  ASSERT_OK(AppendToFile(folder_ / "log", "b"));
  ASSERT_OK_AND_ASSIGN(const std::string contents, ReadFile(folder_ / "log"));
  EXPECT_EQ(contents, "ab");
}

TEST_F(FileIoTest, ErrorsNameThePathAndTheReason) {
  EXPECT_THAT(ReadFile(folder_ / "missing"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("missing: No such file")));
  EXPECT_THAT(WriteFileAtomically(folder_ / "no" / "parent", ""),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("parent.tmp")));
  EXPECT_THAT(WriteFileAtomically("/dev/full/x", ""),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/dev/full")));
  EXPECT_THAT(AppendToFile("/dev/full", "x"),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("No space")));
}

}  // namespace
}  // namespace demorl
