#include "common/base/record_spool.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/file_io.h"
#include "common/base/random.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::_;
using ::testing::HasSubstr;

using WhenFull = RecordSpool::WhenFull;

class RecordSpoolTest : public ::testing::Test {
 protected:
  RecordSpoolTest()
      : folder_(std::filesystem::path(::testing::TempDir()) /
                absl::StrCat("spool_", getpid(), "_",
                             ::testing::UnitTest::GetInstance()->current_test_info()->name())) {}
  ~RecordSpoolTest() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<RecordSpool> Open(int64_t max_bytes = 1 << 20, int64_t file_bytes = 100,
                                    WhenFull when_full = WhenFull::kRefuse) {
    absl::StatusOr<std::unique_ptr<RecordSpool>> spool = RecordSpool::Open(
        {.folder = folder_, .max_bytes = max_bytes, .file_bytes = file_bytes, .when_full = when_full});
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
  static std::vector<RecordSpool::Record> ReadAll(RecordSpool::Reader& reader) {
    std::vector<RecordSpool::Record> records;
    while (true) {
      auto record = reader.Next();
      EXPECT_OK(record);
      if (!record.ok() || !record->has_value()) {
        return records;
      }
      records.push_back(*std::move(*record));
    }
  }
  static std::vector<RecordSpool::Record> ReadAll(RecordSpool* spool, uint64_t after = 0) {
    RecordSpool::Reader reader(spool, after);
    return ReadAll(reader);
  }
  static std::vector<std::string> Payloads(const std::vector<RecordSpool::Record>& records) {
    std::vector<std::string> payloads;
    for (const auto& record : records) {
      payloads.push_back(record.payload);
    }
    return payloads;
  }

  const std::filesystem::path folder_;
};

TEST_F(RecordSpoolTest, GivesRecordsBackInOrderAfterAReopen) {
  {
    const auto spool = Open();
    for (uint64_t i = 1; i <= 20; ++i) {
      ASSERT_OK_AND_ASSIGN(const uint64_t sequence, spool->Append(std::string(i * 3, 'a')));
      EXPECT_EQ(sequence, i);
    }
  }
  const auto spool = Open();
  EXPECT_EQ(spool->last_sequence(), 20u);
  EXPECT_EQ(spool->figures().records, 20);
  EXPECT_EQ(spool->figures().damaged_bytes, 0);
  const auto records = ReadAll(spool.get());
  ASSERT_EQ(records.size(), 20u);
  for (uint64_t i = 1; i <= 20; ++i) {
    EXPECT_EQ(records[i - 1].sequence, i);
    EXPECT_EQ(records[i - 1].payload, std::string(i * 3, 'a'));
  }
  const auto rest = ReadAll(spool.get(), 17);
  ASSERT_EQ(rest.size(), 3u);
  EXPECT_EQ(rest[0].sequence, 18u);
}

TEST_F(RecordSpoolTest, ReadsWhatIsAppendedWhileItReads) {
  const auto spool = Open();
  RecordSpool::Reader reader(spool.get());
  EXPECT_TRUE(ReadAll(reader).empty());
  for (int round = 0; round < 20; ++round) {
    ASSERT_OK(spool->Append(absl::StrCat("record ", round)));
    const auto records = ReadAll(reader);
    ASSERT_EQ(records.size(), 1u) << round;
    EXPECT_EQ(records[0].payload, absl::StrCat("record ", round));
    ASSERT_OK(spool->RemoveThrough(round % 3 == 0 ? records[0].sequence : 0));
  }
}

TEST_F(RecordSpoolTest, OneThreadAppendsWhileAnotherReadsAndRemoves) {
  constexpr uint64_t kRecords = 3000;
  const auto spool = Open();
  std::thread appender([&] {
    for (uint64_t i = 1; i <= kRecords; ++i) {
      EXPECT_OK(spool->Append(absl::StrCat("record ", i)));
    }
  });
  RecordSpool::Reader reader(spool.get());
  uint64_t expected = 0;
  while (expected < kRecords) {
    ASSERT_TRUE(spool->WaitBeyond(expected, absl::Now() + absl::Seconds(30)));
    for (const auto& record : ReadAll(reader)) {
      ASSERT_EQ(record.payload, absl::StrCat("record ", ++expected));
    }
    ASSERT_OK(spool->RemoveThrough(expected));
  }
  appender.join();
  EXPECT_EQ(spool->figures().records, 0);
  EXPECT_FALSE(spool->WaitBeyond(kRecords, absl::Now()));
}

TEST_F(RecordSpoolTest, SurvivesAKillInTheMiddle) {
  const pid_t child = fork();
  if (child == 0) {
    const auto spool = Open();
    for (uint64_t i = 1; i <= 10; ++i) {
      if (!spool->Append("payload").ok()) {
        _exit(1);
      }
    }
    raise(SIGKILL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(ReadAll(Open().get()).size(), 10u);
}

TEST_F(RecordSpoolTest, DeletesFilesOnceAllTheirRecordsAreRemoved) {
  const auto spool = Open();
  for (uint64_t i = 1; i <= 6; ++i) {
    ASSERT_OK(spool->Append(std::string(24, 'x')));  // two records a file
  }
  EXPECT_EQ(Files().size(), 3u);
  ASSERT_OK(spool->RemoveThrough(1));
  EXPECT_EQ(Files().size(), 3u);
  EXPECT_EQ(spool->figures().records, 5);
  ASSERT_OK(spool->RemoveThrough(4));
  EXPECT_EQ(Files().size(), 1u);
  ASSERT_OK(spool->RemoveThrough(6));
  EXPECT_EQ(spool->figures().bytes, 0);
  EXPECT_EQ(spool->figures().records, 0);
  EXPECT_EQ(spool->figures().oldest, absl::InfiniteFuture());
  ASSERT_OK(spool->Append("again"));
  const auto records = ReadAll(Open().get());
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].sequence, 7u);
}

TEST_F(RecordSpoolTest, SequencesGoOnAfterARestartEvenIfNothingIsLeft) {
  uint64_t last = 0;
  for (int start = 0; start < 3; ++start) {
    const auto spool = Open();
    EXPECT_EQ(spool->last_sequence() >= last, true);
    ASSERT_OK_AND_ASSIGN(const uint64_t sequence, spool->Append("record"));
    EXPECT_GT(sequence, last);
    ASSERT_OK(spool->RemoveThrough(sequence));
    EXPECT_EQ(spool->figures().records, 0);
    last = sequence;
  }
  EXPECT_TRUE(ReadAll(Open().get()).empty());
}

TEST_F(RecordSpoolTest, TellsSinceWhenTheOldestRecordWaits) {
  const absl::Time start = absl::Now();
  {
    const auto spool = Open();
    EXPECT_EQ(spool->figures().oldest, absl::InfiniteFuture());
    ASSERT_OK(spool->Append("one"));
    const absl::Time oldest = spool->figures().oldest;
    EXPECT_GE(oldest, start);
    EXPECT_LE(oldest, absl::Now());
    while (absl::Now() < oldest + absl::Milliseconds(150)) {
    }
    ASSERT_OK(spool->Append("two"));
    EXPECT_EQ(spool->figures().oldest, oldest);
    ASSERT_OK(spool->RemoveThrough(1));
    EXPECT_GE(spool->figures().oldest, oldest + absl::Milliseconds(100));
  }
  EXPECT_LE(Open()->figures().oldest, absl::Now());
}

TEST_F(RecordSpoolTest, RefusesWhatIsBeyondItsBoundAndTakesMoreAfterRemoval) {
  const auto spool = Open(/*max_bytes=*/200);
  for (uint64_t i = 1; i <= 5; ++i) {
    ASSERT_OK(spool->Append(std::string(24, 'x')));
  }
  EXPECT_THAT(spool->Append("x"), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("at most 200")));
  EXPECT_EQ(spool->figures().refused_records, 1);
  ASSERT_OK(spool->RemoveThrough(2));
  EXPECT_OK(spool->Append("x"));
  EXPECT_EQ(spool->figures().dropped_records, 0);
}

TEST_F(RecordSpoolTest, DropsTheOldestFileWhenItIsToldTo) {
  const auto spool = Open(/*max_bytes=*/400, /*file_bytes=*/100, WhenFull::kDropOldest);
  RecordSpool::Reader reader(spool.get());
  ASSERT_OK(spool->Append(std::string(24, 'x')));
  ASSERT_OK(reader.Next());  // is in the file that goes first
  for (uint64_t i = 2; i <= 100; ++i) {
    ASSERT_OK(spool->Append(std::string(24, 'x')));
    EXPECT_LE(spool->figures().bytes, 400);
  }
  const auto records = ReadAll(reader);
  ASSERT_GE(records.size(), 7u);
  EXPECT_EQ(records.back().sequence, 100u);
  EXPECT_EQ(records.front().sequence, 101 - records.size());
  EXPECT_EQ(spool->figures().dropped_records, 100 - static_cast<int64_t>(records.size()));
  EXPECT_THAT(spool->Append(std::string(1000, 'x')), StatusIs(absl::StatusCode::kResourceExhausted, _));
}

TEST_F(RecordSpoolTest, DoesNotCountWhatWasSentAsDropped) {
  const auto spool = Open(/*max_bytes=*/400, /*file_bytes=*/100, WhenFull::kDropOldest);
  for (uint64_t i = 1; i <= 10; ++i) {
    ASSERT_OK(spool->Append(std::string(24, 'x')));
  }
  ASSERT_OK(spool->RemoveThrough(1));  // its file stays
  for (uint64_t i = 11; i <= 12; ++i) {
    ASSERT_OK(spool->Append(std::string(24, 'x')));
  }
  const RecordSpool::Figures figures = spool->figures();
  EXPECT_GE(figures.dropped_records, 1);
  EXPECT_EQ(figures.dropped_records + figures.records, 11);
}

// A full disk, as a process meets it that may write no more bytes.
class FullDisk {
 public:
  FullDisk() {
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{20, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_{};
};

TEST_F(RecordSpoolTest, RefusesRecordsWhileTheDiskIsFullAndGoesOnAfterwards) {
  const auto spool = Open();
  ASSERT_OK(spool->Append("before"));
  {
    const FullDisk full;
    for (int i = 0; i < 10; ++i) {
      EXPECT_THAT(spool->Append(std::string(90, 'x')), StatusIs(absl::StatusCode::kResourceExhausted, _));
    }
  }
  EXPECT_EQ(spool->figures().refused_records, 10);
  ASSERT_OK(spool->Append("after"));
  EXPECT_EQ(Payloads(ReadAll(spool.get())), (std::vector<std::string>{"before", "after"}));
  const auto reopened = Open();
  EXPECT_EQ(Payloads(ReadAll(reopened.get())), (std::vector<std::string>{"before", "after"}));
  EXPECT_EQ(reopened->figures().damaged_bytes, 0);
}

TEST_F(RecordSpoolTest, DropsATornTail) {
  ASSERT_OK(Open()->Append("first"));
  ASSERT_OK(AppendToFile(Files()[0], "torn"));
  const auto spool = Open();
  EXPECT_EQ(spool->figures().damaged_bytes, 4);
  ASSERT_OK(spool->Append("second"));
  EXPECT_EQ(Payloads(ReadAll(spool.get())), (std::vector<std::string>{"first", "second"}));
}

TEST_F(RecordSpoolTest, NeverGivesBackADamagedRecordAndLosesNoOther) {
  {
    const auto spool = Open(1 << 20, 1 << 20);
    for (uint64_t i = 1; i <= 5; ++i) {
      ASSERT_OK(spool->Append(absl::StrCat("payload ", i)));
    }
  }
  const std::filesystem::path path = Files()[0];
  ASSERT_OK_AND_ASSIGN(const std::string original, ReadFile(path));
  const size_t record_bytes = original.size() / 5;
  Random random(3);
  for (int round = 0; round < 2000; ++round) {
    std::string damaged = original;
    const size_t position = random.Index(damaged.size());
    damaged[position] ^= static_cast<char>(1 << random.Index(8));
    const size_t num_cut = random.Index(3);
    damaged.resize(damaged.size() - num_cut);
    std::filesystem::remove(path);
    ASSERT_OK(AppendToFile(path, damaged));
    const auto spool = Open();
    const auto records = ReadAll(spool.get());
    for (const RecordSpool::Record& record : records) {
      EXPECT_EQ(record.payload, absl::StrCat("payload ", record.sequence));
    }
    const bool last_hit_twice = position / record_bytes == 4 && num_cut > 0;
    EXPECT_EQ(records.size(), num_cut == 0 || last_hit_twice ? 4u : 3u);
    EXPECT_EQ(spool->figures().records, static_cast<int64_t>(records.size()));
  }
}

TEST_F(RecordSpoolTest, IgnoresFilesThatAreNotItsOwn) {
  ASSERT_OK(MakeFolders(folder_));
  ASSERT_OK(AppendToFile(folder_ / "notes.txt", "mine"));
  const auto spool = Open();
  EXPECT_TRUE(ReadAll(spool.get()).empty());
  ASSERT_OK(spool->RemoveThrough(100));
  EXPECT_EQ(Files().size(), 1u);
}

}  // namespace
}  // namespace demorl
