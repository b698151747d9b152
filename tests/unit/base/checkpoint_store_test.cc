#include "common/base/checkpoint_store.h"

#include "common/base/file_io.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;
using ::demorl::testing::StatusIs;

class CheckpointStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(::testing::TempDir()) / ::testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(root_);
  }
  void TearDown() override { fs::remove_all(root_); }

  fs::path root_;
};

TEST_F(CheckpointStoreTest, LoadsTheNewestAndKeepsOnlySoMany) {
  const CheckpointStore store(root_, /*keep=*/2);
  for (int64_t step : {100, 200, 300}) {
    ASSERT_OK(store.Write(step, {{"weights", std::string(3, static_cast<char>(step / 100))}, {"empty", ""}}));
  }
  ASSERT_OK_AND_ASSIGN(const LoadedCheckpoint loaded, store.LoadNewest());
  EXPECT_EQ(loaded.step, 300);
  EXPECT_EQ(loaded.files, (CheckpointFiles{{"weights", "\3\3\3"}, {"empty", ""}}));
  EXPECT_FALSE(fs::exists(root_ / "0000000100"));
  EXPECT_TRUE(fs::exists(root_ / "0000000200"));
}

TEST_F(CheckpointStoreTest, FallsBackToThePreviousOneWhateverByteIsDamaged) {
  const CheckpointStore store(root_, 2);
  ASSERT_OK(store.Write(1, {{"weights", "old"}}));
  ASSERT_OK(store.Write(2, {{"weights", "new"}}));
  for (const char* name : {"weights", "MANIFEST"}) {
    const fs::path file = root_ / "0000000002" / name;
    const std::string good = *ReadFile(file);
    for (size_t byte = 0; byte < good.size(); ++byte) {
      std::string bad = good;
      bad[byte] ^= 1;
      ASSERT_OK(WriteFileAtomically(file, bad));
      ASSERT_OK_AND_ASSIGN(const LoadedCheckpoint loaded, store.LoadNewest());
      EXPECT_EQ(loaded.files.at("weights"), "old") << name << " byte " << byte;
      EXPECT_EQ(loaded.skipped.size(), 1u);
    }
    ASSERT_OK(WriteFileAtomically(file, good));
  }
  EXPECT_EQ(store.LoadNewest()->files.at("weights"), "new");
}

TEST_F(CheckpointStoreTest, IgnoresAFolderThatWasNotFinished) {
  const CheckpointStore store(root_, 2);
  ASSERT_OK(store.Write(1, {{"weights", "old"}}));
  ASSERT_OK(store.Write(2, {{"weights", "new"}}));
  fs::remove(root_ / "0000000002" / "DONE");
  EXPECT_EQ(store.LoadNewest()->step, 1);
}

TEST_F(CheckpointStoreTest, TellsNothingFromEverythingDamaged) {
  const CheckpointStore store(root_, 2);
  EXPECT_THAT(store.LoadNewest(), StatusIs(absl::StatusCode::kNotFound, ::testing::_));
  ASSERT_OK(store.Write(1, {{"weights", "old"}}));
  ASSERT_OK(WriteFileAtomically(root_ / "0000000001" / "weights", "odd"));
  EXPECT_THAT(store.LoadNewest(),
              StatusIs(absl::StatusCode::kDataLoss, ::testing::HasSubstr("weights is damaged")));
}

}  // namespace
}  // namespace demorl
