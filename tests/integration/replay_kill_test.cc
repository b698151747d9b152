// The replay server as a process of its own, killed with -9 while writers append through a real socket.

#include <signal.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/base/file_io.h"
#include "common/rpc/channel_factory.h"
#include "gtest/gtest.h"
#include "services/replay/replay_client.h"
#include "tests/integration/replay_process.h"
#include "tests/unit/replay/replay_test_data.h"

namespace demorl {
namespace {

using ::demorl::testing::MakeChunk;
using ::demorl::testing::MakeSegment;
using ::demorl::testing::ReplayProcess;
using ::demorl::testing::TestEnvironment;

constexpr int kSteps = 5;

absl::Time Soon() { return absl::Now() + absl::Seconds(60); }

class ReplayKillTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "replay_kill_XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    config_ = folder_ / "run.textproto";
    ASSERT_OK(WriteFileAtomically(
        config_,
        absl::StrCat(
            "environment: 'Line-v0' run_id: 'run'\n",
            "replay { tables { name: 'env' rate_limiter { min_rows: 1 } } tables { name: 'mpc' } }\n",
            "services { replay { data_dir: '", (folder_ / "data").string(), "' } }\n")));
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path folder_;
  std::filesystem::path config_;
};

// Every row of the table by (episode, step), with the number of times it is there.
std::map<std::pair<int, int>, int> ReadAllRows(ReplayClient* client) {
  std::map<std::pair<int, int>, int> rows;
  const auto info = client->GetTable("env");
  EXPECT_OK(info);
  auto tail = client->OpenTail("env", 0);
  for (uint64_t position = 0; info.ok() && position < info->rows_inserted();) {
    const auto read = tail->Next(Soon());
    if (!read.ok()) {
      ADD_FAILURE() << read.status();
      break;
    }
    EXPECT_EQ(read->position, position);
    position = read->next_position;
    for (const Segment& segment : read->chunk.segments) {
      for (const float reward : segment.rewards) {
        ++rows[{static_cast<int>(segment.episode_id), static_cast<int>(reward)}];
      }
    }
  }
  return rows;
}

TEST_F(ReplayKillTest, KillsLoseNothingAndDoubleNothing) {
  constexpr int kWriters = 2, kKills = 3;
  auto server = std::make_unique<ReplayProcess>(config_, 0);
  const int port = server->port();
  ASSERT_GT(port, 0);
  ReplayClient client(MakeChannel(absl::StrCat("127.0.0.1:", port)), "run");
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> most_durable = 0;
  std::vector<int> chunks(kWriters);
  std::vector<std::thread> threads;
  for (int w = 0; w < kWriters; ++w) {
    threads.emplace_back([&, w] {
      auto writer = client.OpenWriter(
          {.writer_id = absl::StrCat("actor", w), .writer_epoch = 1, .environment = TestEnvironment()});
      while (!stop) {
        const auto episode = static_cast<uint64_t>(w);
        ASSERT_OK(writer->Append(MakeChunk({MakeSegment(episode, kSteps * chunks[w], kSteps)}), Soon()));
        ++chunks[w];
        most_durable = std::max<uint64_t>(most_durable, writer->DurableSequence());
      }
      EXPECT_OK(writer->Flush(Soon()));
      EXPECT_EQ(writer->DurableSequence(), static_cast<uint64_t>(chunks[w]));
    });
  }
  // A reader over all restarts sees each row once, too.
  std::map<std::pair<int, int>, int> tailed;
  auto tail = client.OpenTail("env", 0);
  const auto read_more = [&] {
    for (int i = 0; i < 20; ++i) {
      const auto rows = tail->Next(Soon());
      ASSERT_OK(rows);
      for (const Segment& segment : rows->chunk.segments) {
        for (const float reward : segment.rewards) {
          ++tailed[{static_cast<int>(segment.episode_id), static_cast<int>(reward)}];
        }
      }
    }
  };
  for (int i = 0; i < kKills; ++i) {
    read_more();
    EXPECT_EQ(server->Signal(SIGKILL), -SIGKILL);
    server.reset();
    server = std::make_unique<ReplayProcess>(config_, port);
  }
  read_more();
  stop = true;
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_GT(most_durable, 0u);

  const auto rows = ReadAllRows(&client);
  EXPECT_EQ(rows.size(), static_cast<size_t>(kSteps * (chunks[0] + chunks[1])));
  for (const auto& [row, count] : rows) {
    EXPECT_EQ(count, 1) << "episode " << row.first << " step " << row.second;
  }
  for (const auto& [row, count] : tailed) {
    EXPECT_EQ(count, 1) << "episode " << row.first << " step " << row.second;
  }
  const auto audit = client.Audit();
  ASSERT_OK(audit);
  EXPECT_EQ(audit->violations_size(), 0) << audit->DebugString();
}

TEST_F(ReplayKillTest, SigtermDrainsAndEndsWithZero) {
  auto server = std::make_unique<ReplayProcess>(config_, 0);
  {
    ReplayClient client(MakeChannel(absl::StrCat("127.0.0.1:", server->port())), "run");
    auto writer =
        client.OpenWriter({.writer_id = "actor", .writer_epoch = 1, .environment = TestEnvironment()});
    auto sampler = client.OpenSampler({.shares = {{"mpc", 1}}});
    ASSERT_OK(writer->Append(MakeChunk({MakeSegment(1, 0, 7)}), Soon()));
    ASSERT_OK(writer->Flush(Soon()));
    EXPECT_EQ(server->Signal(SIGTERM), 0);
  }
  server = std::make_unique<ReplayProcess>(config_, 0);
  ReplayClient client(MakeChannel(absl::StrCat("127.0.0.1:", server->port())), "run");
  EXPECT_EQ(ReadAllRows(&client).size(), 7u);
}

}  // namespace
}  // namespace demorl
