#include "services/actor/core/chunk_spool.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "absl/strings/str_cat.h"
#include "common/base/file_io.h"
#include "common/base/random.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

class ChunkSpoolTest : public ::testing::Test {
 protected:
  ChunkSpoolTest()
      : folder_(std::filesystem::path(::testing::TempDir()) /
                absl::StrCat("spool_", getpid(), "_",
                             ::testing::UnitTest::GetInstance()->current_test_info()->name())) {}
  ~ChunkSpoolTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<ChunkSpool> Open(int64_t max_bytes = 1 << 20, int64_t file_bytes = 100) {
    absl::StatusOr<std::unique_ptr<ChunkSpool>> spool =
        ChunkSpool::Open({.folder = folder_, .max_bytes = max_bytes, .file_bytes = file_bytes});
    EXPECT_OK(spool);
    return *std::move(spool);
  }
  std::vector<std::filesystem::path> Files() const {
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    return files;
  }

  const std::filesystem::path folder_;
};

TEST_F(ChunkSpoolTest, GivesRecordsBackInOrderAfterAReopen) {
  {
    const auto spool = Open();
    for (uint64_t i = 1; i <= 20; ++i) {
      ASSERT_OK(spool->Append(i, std::string(i * 3, 'a')));
    }
  }
  const auto spool = Open();
  const std::vector<ChunkSpool::Record> records = spool->TakeRecovered();
  ASSERT_EQ(records.size(), 20u);
  for (uint64_t i = 1; i <= 20; ++i) {
    EXPECT_EQ(records[i - 1].sequence, i);
    EXPECT_EQ(records[i - 1].payload, std::string(i * 3, 'a'));
  }
  EXPECT_EQ(spool->num_damaged_bytes(), 0);
  EXPECT_TRUE(spool->TakeRecovered().empty());
}

TEST_F(ChunkSpoolTest, SurvivesAKillInTheMiddle) {
  const pid_t child = fork();
  if (child == 0) {
    const auto spool = Open();
    for (uint64_t i = 1; i <= 10; ++i) {
      if (!spool->Append(i, "payload").ok()) {
        _exit(1);
      }
    }
    raise(SIGKILL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(Open()->TakeRecovered().size(), 10u);
}

TEST_F(ChunkSpoolTest, DeletesFilesOnceAllTheirRecordsAreRemoved) {
  const auto spool = Open();
  for (uint64_t i = 1; i <= 6; ++i) {
    ASSERT_OK(spool->Append(i, std::string(24, 'x')));  // two records a file
  }
  EXPECT_EQ(Files().size(), 3u);
  ASSERT_OK(spool->RemoveThrough(1));
  EXPECT_EQ(Files().size(), 3u);
  ASSERT_OK(spool->RemoveThrough(4));
  EXPECT_EQ(Files().size(), 1u);
  ASSERT_OK(spool->RemoveThrough(6));
  EXPECT_EQ(Files().size(), 0u);
  EXPECT_EQ(spool->num_bytes(), 0);
  ASSERT_OK(spool->Append(7, "again"));
  const std::vector<ChunkSpool::Record> records = Open()->TakeRecovered();
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].sequence, 7u);
}

TEST_F(ChunkSpoolTest, KeepsRecoveredRecordsUntilTheyAreWrittenAnewAndThenOnlyOnce) {
  ASSERT_OK(Open()->Append(5, "five"));
  {
    const auto spool = Open();
    ASSERT_OK(spool->RemoveThrough(100));  // says nothing about another process's numbers
    ASSERT_OK(spool->Append(5, "five"));
  }
  const auto spool = Open();
  EXPECT_EQ(spool->TakeRecovered().size(), 1u);
  ASSERT_OK(spool->RemoveRecovered());
  EXPECT_TRUE(Open()->TakeRecovered().empty());
}

TEST_F(ChunkSpoolTest, RefusesWhatIsBeyondItsBoundAndTakesMoreAfterRemoval) {
  const auto spool = Open(/*max_bytes=*/200);
  for (uint64_t i = 1; i <= 5; ++i) {
    ASSERT_OK(spool->Append(i, std::string(24, 'x')));
  }
  EXPECT_THAT(spool->Append(6, "x"),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("at most 200")));
  ASSERT_OK(spool->RemoveThrough(2));
  EXPECT_OK(spool->Append(6, "x"));
}

TEST_F(ChunkSpoolTest, DropsATornTail) {
  ASSERT_OK(Open()->Append(1, "first"));
  ASSERT_OK(AppendToFile(Files()[0], "torn"));
  const auto spool = Open();
  EXPECT_EQ(spool->TakeRecovered().size(), 1u);
  EXPECT_EQ(spool->num_damaged_bytes(), 4);
}

TEST_F(ChunkSpoolTest, NeverGivesBackADamagedRecord) {
  {
    const auto spool = Open(1 << 20, 1 << 20);
    for (uint64_t i = 1; i <= 5; ++i) {
      ASSERT_OK(spool->Append(i, absl::StrCat("payload ", i)));
    }
  }
  const std::filesystem::path path = Files()[0];
  ASSERT_OK_AND_ASSIGN(const std::string original, ReadFile(path));
  Random random(3);
  for (int round = 0; round < 2000; ++round) {
    std::string damaged = original;
    damaged[random.Index(damaged.size())] ^= static_cast<char>(1 << random.Index(8));
    damaged.resize(damaged.size() - random.Index(3));
    std::filesystem::remove(path);
    ASSERT_OK(AppendToFile(path, damaged));
    for (const ChunkSpool::Record& record : Open()->TakeRecovered()) {
      EXPECT_EQ(record.payload, absl::StrCat("payload ", record.sequence));
    }
  }
}

TEST_F(ChunkSpoolTest, IgnoresFilesThatAreNotItsOwn) {
  ASSERT_OK(MakeFolders(folder_));
  ASSERT_OK(AppendToFile(folder_ / "notes.txt", "mine"));
  const auto spool = Open();
  EXPECT_TRUE(spool->TakeRecovered().empty());
  ASSERT_OK(spool->RemoveRecovered());
  EXPECT_EQ(Files().size(), 1u);
}

}  // namespace
}  // namespace demorl
