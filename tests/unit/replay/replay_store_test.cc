#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <filesystem>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "services/replay/core/replay_core.h"
#include "services/replay/core/rocksdb_store.h"
#include "tests/unit/replay/fake_kv_store.h"
#include "tests/unit/replay/replay_test_data.h"

namespace demorl {
namespace {

using ::demorl::testing::FakeDisk;
using ::demorl::testing::FakeKvStore;
using ::demorl::testing::MakeChunk;
using ::demorl::testing::MakePlannedSegment;
using ::demorl::testing::MakeSegment;
using ::demorl::testing::OpenTestWriter;
using ::demorl::testing::RowsInserted;
using ::demorl::testing::StatusIs;
using ::demorl::testing::TestOptions;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

std::unique_ptr<ReplayCore> MakeCoreOn(const std::shared_ptr<FakeDisk>& disk,
                                       const ReplayOptions& options = TestOptions()) {
  auto core = ReplayCore::Create(options, RealClock::Get(), nullptr, std::make_unique<FakeKvStore>(disk));
  EXPECT_OK(core);
  return *std::move(core);
}

// A core as a kill leaves it: another one on a copy of the disk, while the first still runs.
std::unique_ptr<ReplayCore> Revive(const std::shared_ptr<FakeDisk>& disk,
                                   const ReplayOptions& options = TestOptions()) {
  auto copy = std::make_shared<FakeDisk>();
  const auto records = disk->Copy();
  {
    absl::MutexLock lock(&copy->mutex);
    copy->records = records;
  }
  return MakeCoreOn(copy, options);
}

std::vector<uint64_t> HeldKeys(const ReplayCore& core, const std::string& table) {
  std::vector<uint64_t> keys;
  uint64_t position = 0;
  while (true) {
    const auto rows = core.ReadRows(table, position, 1);
    if (!rows.ok() || !rows->has_value()) {
      return keys;
    }
    keys.push_back((*rows)->position);
    position = (*rows)->next_position;
  }
}

TEST(ReplayStoreTest, WhatIsDurableSurvivesAKillOnceAndTheWriterGoesOn) {
  auto disk = std::make_shared<FakeDisk>();
  auto core = MakeCoreOn(disk);
  const WriterHandle writer = OpenTestWriter(core.get());
  Segment ending = MakeSegment(1, 3, 2);
  ending.truncated = true;
  EXPECT_OK(core->Append(writer, 1, MakeChunk({MakeSegment(1, 0, 3)})));
  EXPECT_OK(core->Append(writer, 2, MakeChunk({ending})));
  ASSERT_OK(core->Flush(Soon()));
  EXPECT_EQ(core->Position(writer).durable_sequence, 2u);
  disk->SetFailure(absl::ResourceExhaustedError("full"));
  EXPECT_OK(core->Append(writer, 3, MakeChunk({MakeSegment(2, 0, 4)})));
  EXPECT_EQ(core->Position(writer).accepted_sequence, 3u);

  auto revived = Revive(disk);
  const WriterHandle again = OpenTestWriter(revived.get());
  EXPECT_EQ(revived->Position(again).accepted_sequence, 2u);
  EXPECT_EQ(revived->Position(again).durable_sequence, 2u);
  EXPECT_EQ(RowsInserted(*revived, "env"), 5);
  EXPECT_EQ(revived->Describe("env")->episodes, 1);
  EXPECT_OK(revived->Append(again, 2, MakeChunk({ending})));
  EXPECT_OK(revived->Append(again, 3, MakeChunk({MakeSegment(2, 0, 4)})));
  ASSERT_OK(revived->Flush(Soon()));
  EXPECT_THAT(HeldKeys(*revived, "env"), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8));
  EXPECT_THAT(revived->Audit().violations, IsEmpty());
  EXPECT_EQ(revived->Audit().writers[0].duplicate_chunks, 1);
}

TEST(ReplayStoreTest, NothingIsCalledDurableBeforeItIsOnTheDisk) {
  auto disk = std::make_shared<FakeDisk>();
  auto core = MakeCoreOn(disk);
  const WriterHandle writer = OpenTestWriter(core.get());
  ASSERT_OK(core->Flush(Soon()));
  disk->SetFailure(absl::ResourceExhaustedError("disk full"));
  EXPECT_OK(core->Append(writer, 1, MakeChunk({MakeSegment(1, 0, 3)})));
  EXPECT_THAT(core->Flush(absl::Now() + absl::Milliseconds(200)),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("disk full")));
  EXPECT_EQ(core->Position(writer).durable_sequence, 0u);
  EXPECT_THAT(core->StoreStatus(), StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("disk full")));
  // From memory everything goes on, the tail too.
  EXPECT_OK(core->TrySample({.shares = {{"env", 2}}}));
  EXPECT_EQ(HeldKeys(*core, "env").size(), 3u);

  disk->SetFailure(absl::OkStatus());
  ASSERT_OK(core->Flush(Soon()));
  EXPECT_EQ(core->Position(writer).durable_sequence, 1u);
  EXPECT_OK(core->StoreStatus());
  EXPECT_EQ(RowsInserted(*Revive(disk), "env"), 3);
}

TEST(ReplayStoreTest, TheTailShowsOnlyWhatACrashCannotTakeBack) {
  auto disk = std::make_shared<FakeDisk>();
  ReplayOptions options = TestOptions();
  options.group_commit = absl::Hours(1);  // the first group is written at once, then none
  auto core = MakeCoreOn(disk, options);
  const WriterHandle writer = OpenTestWriter(core.get());
  ASSERT_OK(core->Flush(Soon()));
  EXPECT_OK(core->Append(writer, 1, MakeChunk({MakeSegment(1, 0, 3)})));
  EXPECT_THAT(HeldKeys(*core, "env"), IsEmpty());
  EXPECT_EQ(core->Position(writer).durable_sequence, 0u);
}

TEST(ReplayStoreTest, TheLimiterTheSelectorAndTheRetentionComeBack) {
  auto disk = std::make_shared<FakeDisk>();
  ReplayOptions options = TestOptions();
  options.tables[0].max_rows = 4;
  options.tables[0].rate_limiter = {.updates_per_row = 1, .max_rows_ahead = 5, .min_rows = 2};
  options.tables[1].retained_rounds = 1;
  auto core = MakeCoreOn(disk, options);
  const WriterHandle writer = OpenTestWriter(core.get());
  const WriterHandle planner = OpenTestWriter(core.get(), "mpc", "planner");
  EXPECT_OK(core->Append(writer, 1, MakeChunk({MakeSegment(1, 0, 6)})));
  EXPECT_OK(core->Append(planner, 1, MakeChunk({MakePlannedSegment(1, 1, 3), MakePlannedSegment(2, 7, 2)})));
  EXPECT_OK(core->TrySample({.shares = {{"env", 1}}}));
  EXPECT_OK(core->TrySample({.shares = {{"env", 1}}}));
  ASSERT_OK(core->Flush(Soon()));

  auto revived = Revive(disk, options);
  EXPECT_THAT(HeldKeys(*revived, "env"), ElementsAre(2, 3, 4, 5));
  EXPECT_THAT(HeldKeys(*revived, "mpc"), ElementsAre(3, 4));
  EXPECT_EQ(revived->Describe("env")->updates, 2);
  EXPECT_EQ(revived->Describe("mpc")->latest_planning_round, 2u);
  EXPECT_EQ(revived->Position(OpenTestWriter(revived.get())).rows_allowed, 2 + 2 + 5);
  EXPECT_EQ(core->TrySample({.shares = {{"env", 1}}})->batch.keys,
            revived->TrySample({.shares = {{"env", 1}}})->batch.keys);
}

TEST(ReplayStoreTest, PurgesAreDurable) {
  auto disk = std::make_shared<FakeDisk>();
  auto core = MakeCoreOn(disk);
  const WriterHandle planner = OpenTestWriter(core.get(), "mpc", "planner");
  EXPECT_OK(core->Append(
      planner, 1,
      MakeChunk({MakePlannedSegment(1, 1, 2), MakePlannedSegment(1, 2, 2), MakePlannedSegment(1, 3, 2)})));
  ASSERT_OK(core->Flush(Soon()));
  ASSERT_OK_AND_ASSIGN(const int64_t removed, core->PurgeDynamicsVersion("mpc", 2));
  EXPECT_EQ(removed, 2);
  absl::Notification durable;
  core->WhenDurable([&durable](const absl::Status& status) {
    EXPECT_OK(status);
    durable.Notify();
  });
  durable.WaitForNotification();
  EXPECT_THAT(HeldKeys(*Revive(disk), "mpc"), ElementsAre(0, 1, 4, 5));
  EXPECT_OK(core->PurgeBefore("mpc", 1));
  ASSERT_OK(core->Flush(Soon()));
  EXPECT_THAT(HeldKeys(*Revive(disk), "mpc"), ElementsAre(1, 4, 5));
}

TEST(ReplayStoreTest, RowsThatLeftAreDeletedFromTheDisk) {
  auto disk = std::make_shared<FakeDisk>();
  ReplayOptions options = TestOptions();
  options.tables[0].max_rows = 100;
  auto core = MakeCoreOn(disk, options);
  const WriterHandle writer = OpenTestWriter(core.get());
  for (int i = 0; i < 500; ++i) {
    EXPECT_OK(core->Append(writer, static_cast<uint64_t>(i + 1), MakeChunk({MakeSegment(1, 10 * i, 10)})));
  }
  ASSERT_OK(core->Flush(Soon()));
  // 10 segments are held; what left is deleted in pieces of 1,024 rows. 3 records are not segments.
  EXPECT_LE(disk->Copy().size(), 10u + 103u + 3u);
  EXPECT_EQ(HeldKeys(*Revive(disk, options), "env").front(), 4900u);
}

TEST(ReplayStoreTest, TablesThatAreNotKeptStartEmpty) {
  auto disk = std::make_shared<FakeDisk>();
  ReplayOptions options = TestOptions();
  options.tables[1].durable = false;
  auto core = MakeCoreOn(disk, options);
  const WriterHandle planner = OpenTestWriter(core.get(), "mpc", "planner");
  const WriterHandle writer = OpenTestWriter(core.get());
  EXPECT_OK(core->Append(planner, 1, MakeChunk({MakePlannedSegment(1, 1, 3)})));
  EXPECT_EQ(core->Position(planner).durable_sequence, 1u);
  EXPECT_OK(core->Append(writer, 1, MakeChunk({MakeSegment(1, 0, 3)})));
  ASSERT_OK(core->Flush(Soon()));
  auto revived = Revive(disk, options);
  EXPECT_EQ(RowsInserted(*revived, "mpc"), 0);
  EXPECT_EQ(RowsInserted(*revived, "env"), 3);
  EXPECT_EQ(revived->Position(OpenTestWriter(revived.get(), "mpc", "planner")).accepted_sequence, 0u);
  EXPECT_THAT(revived->Audit().violations, IsEmpty());
}

TEST(ReplayStoreTest, ADamagedRecordCostsItsOwnRowsOnly) {
  auto disk = std::make_shared<FakeDisk>();
  auto core = MakeCoreOn(disk);
  const WriterHandle writer = OpenTestWriter(core.get());
  for (uint64_t i = 0; i < 3; ++i) {
    EXPECT_OK(core->Append(writer, i + 1, MakeChunk({MakeSegment(i, 0, 2)})));
  }
  ASSERT_OK(core->Flush(Soon()));
  core.reset();
  {
    absl::MutexLock lock(&disk->mutex);
    int segment = 0;
    for (auto& [key, value] : disk->records) {
      if (key[0] == 's' && segment++ == 1) {
        value[20] = static_cast<char>(value[20] ^ 1);
      }
    }
  }
  auto revived = MakeCoreOn(disk);
  EXPECT_THAT(HeldKeys(*revived, "env"), ElementsAre(0, 1, 4, 5));
  EXPECT_THAT(revived->Audit().violations, ElementsAre(HasSubstr("rows from key 2")));
}

TEST(ReplayStoreTest, RefusesTheStoreOfAnotherRun) {
  auto disk = std::make_shared<FakeDisk>();
  MakeCoreOn(disk);
  ReplayOptions other = TestOptions();
  other.run_id = "other";
  EXPECT_THAT(ReplayCore::Create(other, RealClock::Get(), nullptr, std::make_unique<FakeKvStore>(disk)),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("belongs to run 'run'")));
}

TEST(ReplayStoreTest, WithoutAStoreThereIsNoCheckpoint) {
  auto core = testing::MakeCore(TestOptions());
  absl::StatusOr<CheckpointInfo> checkpoint;
  core->CreateCheckpoint([&checkpoint](const absl::StatusOr<CheckpointInfo>& made) { checkpoint = made; });
  EXPECT_THAT(checkpoint, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("data_dir")));
}

class RocksDbStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "replay_store_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<ReplayCore> Open(const std::filesystem::path& folder) {
    auto store = OpenRocksDbStore(folder);
    EXPECT_OK(store);
    auto core = ReplayCore::Create(TestOptions(), RealClock::Get(), nullptr, *std::move(store));
    EXPECT_OK(core);
    return *std::move(core);
  }

  std::filesystem::path folder_;
};

TEST_F(RocksDbStoreTest, KeepsRowsOverARestart) {
  {
    auto core = Open(folder_);
    EXPECT_OK(core->Append(OpenTestWriter(core.get()), 1, MakeChunk({MakeSegment(1, 0, 3)})));
  }  // what is left is written at the end
  auto core = Open(folder_);
  EXPECT_THAT(HeldKeys(*core, "env"), ElementsAre(0, 1, 2));
  EXPECT_EQ(core->Position(OpenTestWriter(core.get())).durable_sequence, 1u);
}

TEST_F(RocksDbStoreTest, ACheckpointIsAWholeStoreAndTheOriginalGoesOn) {
  auto core = Open(folder_);
  const WriterHandle writer = OpenTestWriter(core.get());
  EXPECT_OK(core->Append(writer, 1, MakeChunk({MakeSegment(1, 0, 3)})));
  absl::Notification done;
  absl::StatusOr<CheckpointInfo> checkpoint;
  core->CreateCheckpoint([&](const absl::StatusOr<CheckpointInfo>& made) {
    checkpoint = made;
    done.Notify();
  });
  done.WaitForNotification();
  ASSERT_OK(checkpoint);
  EXPECT_EQ(checkpoint->path, "checkpoints/00000001");
  EXPECT_EQ(checkpoint->rows_inserted.at("env"), 3);
  EXPECT_OK(core->Append(writer, 2, MakeChunk({MakeSegment(1, 3, 3)})));
  ASSERT_OK(core->Flush(Soon()));

  std::filesystem::create_directories(folder_ / "copy");
  std::filesystem::rename(folder_ / checkpoint->path, folder_ / "copy" / "store");
  auto copy = Open(folder_ / "copy");
  EXPECT_EQ(RowsInserted(*copy, "env"), 3);
  EXPECT_EQ(RowsInserted(*core, "env"), 6);
}

// As a full disk does: no file may grow.
class NoFileGrows {
 public:
  NoFileGrows() : handler_(signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit none = {.rlim_cur = 0, .rlim_max = before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &none);
  }
  ~NoFileGrows() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  sighandler_t handler_;
};

TEST_F(RocksDbStoreTest, OutlivesAFullDiskAndWritesWhenThereIsSpaceAgain) {
  auto store = OpenRocksDbStore(folder_);
  ASSERT_OK(store);
  const auto change = [](const std::string& key) { return KvChange{.key = key, .value = "value"}; };
  ASSERT_OK((*store)->Write({change("before")}));
  {
    const NoFileGrows full;
    EXPECT_FALSE((*store)->Write({change("lost")}).ok());
    EXPECT_FALSE((*store)->Write({change("lost")}).ok());  // it opens the store anew
  }
  ASSERT_OK((*store)->Write({change("after")}));
  std::vector<std::string> keys;
  ASSERT_OK((*store)->Scan("", [&keys](absl::string_view key, absl::string_view) {
    keys.emplace_back(key);
    return absl::OkStatus();
  }));
  EXPECT_THAT(keys, ElementsAre("after", "before"));
}

TEST_F(RocksDbStoreTest, SaysWhatItCannotOpen) {
  EXPECT_FALSE(OpenRocksDbStore(folder_ / "missing" / "deeper").ok());
}

}  // namespace
}  // namespace demorl
