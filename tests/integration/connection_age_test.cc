// Clients of servers that close each connection after a fraction of a second: what streams over them must not
// show.

#include <atomic>
#include <filesystem>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/metrics/metrics.h"
#include "common/rpc/channel_factory.h"
#include "common/rpc/server_runner.h"
#include "common/rpc/service_context.h"
#include "gtest/gtest.h"
#include "services/replay/replay_client.h"
#include "services/replay/replay_component.h"
#include "services/snapshot/snapshot_client.h"
#include "services/snapshot/snapshot_component.h"
#include "tests/fakes/policies.h"
#include "tests/unit/replay/replay_test_data.h"

namespace demorl {
namespace {

using ::demorl::snapshot::v1::SNAPSHOT_KIND_POLICY;
using ::demorl::testing::MakeChunk;
using ::demorl::testing::MakeSegment;
using ::demorl::testing::TestEnvironment;

constexpr int kSteps = 5;
// Of each long stream of a test: connections are cut as often, less one.
constexpr double kStreams = 6;

absl::Time Soon() { return absl::Now() + absl::Seconds(60); }

// A component on a port, whose connections live for about 0.4 s.
class AgingServer {
 public:
  AgingServer(absl::StatusOr<std::unique_ptr<ServiceComponent>> component, Metrics* metrics) {
    EXPECT_OK(component);
    component_ = *std::move(component);
    auto runner = ServerRunner::Start({.address = "127.0.0.1:0",
                                       .run_id = "run",
                                       .max_connection_age = absl::Milliseconds(200),
                                       .connection_grace = absl::Milliseconds(200),
                                       .metrics = metrics},
                                      component_.get());
    EXPECT_OK(runner);
    runner_ = *std::move(runner);
  }
  std::shared_ptr<grpc::Channel> Connect() const {
    return MakeChannel(absl::StrCat("127.0.0.1:", runner_->port()));
  }

 private:
  std::unique_ptr<ServiceComponent> component_;
  std::unique_ptr<ServerRunner> runner_;
};

class ConnectionAgeTest : public ::testing::Test {
 protected:
  ConnectionAgeTest() {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    context_.config.set_run_id("run");
    for (const char* name : {"env", "mpc"}) {
      context_.config.mutable_replay()->add_tables()->set_name(name);
    }
    context_.data_dir = folder_.string();
    context_.metrics = metrics_.get();
    std::filesystem::create_directories(folder_);
  }
  ~ConnectionAgeTest() override { std::filesystem::remove_all(folder_); }

  // Streams that have begun.
  double Streams(const std::string& service, const std::string& method) {
    return metrics_
        ->GetCounter("grpc_server_started_total", "Calls that have begun",
                     {{"grpc_service", service}, {"grpc_method", method}})
        .Value();
  }
  double ReplayStreams(const std::string& method) {
    return Streams("demorl.replay.v1.ReplayService", method);
  }

  std::filesystem::path folder_;
  std::unique_ptr<Metrics> metrics_ = MakeLocalMetrics();
  ServiceContext context_;
};

using RowCounts = std::map<std::pair<uint64_t, int>, int>;

void Count(const TransitionChunk& chunk, RowCounts* rows) {
  for (const Segment& segment : chunk.segments) {
    for (const float reward : segment.rewards) {
      ++(*rows)[{segment.episode_id, static_cast<int>(reward)}];
    }
  }
}

void ExpectOnce(const RowCounts& rows, size_t expected) {
  EXPECT_EQ(rows.size(), expected);
  for (const auto& [row, count] : rows) {
    EXPECT_EQ(count, 1) << "episode " << row.first << " step " << row.second;
  }
}

TEST_F(ConnectionAgeTest, RowsAreNeitherLostNorDoubledAndNoCallFails) {
  constexpr int kWriters = 4;
  const AgingServer server(MakeReplayComponent(context_), metrics_.get());
  std::atomic<bool> stop = false;
  std::vector<int> chunks(kWriters);
  std::vector<std::thread> threads;
  for (int w = 0; w < kWriters; ++w) {
    threads.emplace_back([&, w] {
      ReplayClient client(server.Connect(), "run");
      auto writer = client.OpenWriter(
          {.writer_id = absl::StrCat("actor", w), .writer_epoch = 1, .environment = TestEnvironment()});
      for (; !stop; ++chunks[w]) {
        const auto episode = static_cast<uint64_t>(w);
        ASSERT_OK(writer->Append(MakeChunk({MakeSegment(episode, kSteps * chunks[w], kSteps)}), Soon()));
        absl::SleepFor(absl::Milliseconds(1));  // a rate, so that rows do not outgrow the reader
      }
      EXPECT_OK(writer->Flush(Soon()));
    });
  }
  threads.emplace_back([&] {
    ReplayClient client(server.Connect(), "run");
    auto sampler = client.OpenSampler({.shares = {{"env", 16}}});
    while (!stop) {
      ASSERT_OK(sampler->Next(Soon()));
    }
  });
  threads.emplace_back([&] {
    ReplayClient client(server.Connect(), "run");
    while (!stop) {
      ASSERT_OK(client.GetTable("env"));
    }
  });
  ReplayClient client(server.Connect(), "run");
  RowCounts tailed;
  auto tail = client.OpenTail("env", 0);
  while (ReplayStreams("Append") < kStreams * kWriters || ReplayStreams("Sample") < kStreams ||
         ReplayStreams("Tail") < kStreams) {
    ASSERT_OK_AND_ASSIGN(const TailedRows rows, tail->Next(Soon()));
    Count(rows.chunk, &tailed);
  }
  stop = true;
  for (std::thread& thread : threads) {
    thread.join();
  }
  size_t appended = 0;
  for (const int count : chunks) {
    appended += static_cast<size_t>(kSteps * count);
  }
  while (tailed.size() < appended) {
    ASSERT_OK_AND_ASSIGN(const TailedRows rows, tail->Next(Soon()));
    Count(rows.chunk, &tailed);
  }
  ExpectOnce(tailed, appended);
  ASSERT_OK_AND_ASSIGN(const auto info, client.GetTable("env"));
  EXPECT_EQ(info.rows_inserted(), appended);
  ASSERT_OK_AND_ASSIGN(const auto audit, client.Audit());
  EXPECT_EQ(audit.violations_size(), 0) << audit.DebugString();
}

TEST_F(ConnectionAgeTest, EachVersionIsPublishedOnceAndAWatcherNeverGoesBack) {
  const AgingServer server(MakeSnapshotComponent(context_), metrics_.get());
  SnapshotClient publisher(server.Connect(), "run");
  SnapshotClient watcher(server.Connect(), "run");
  const auto watch = watcher.Watch(SNAPSHOT_KIND_POLICY);
  const std::string payload = EncodeSafetensors(ConstantPolicy(2, 1, 0.5F));
  uint64_t published = 0, seen = 0;
  while (Streams("demorl.snapshot.v1.SnapshotService", "Watch") < kStreams) {
    snapshot::v1::SnapshotMetadata metadata = MakeSnapshotMetadata(TestEnvironment(), "hash");
    metadata.set_kind(SNAPSHOT_KIND_POLICY);
    metadata.mutable_lineage()->set_learner_step(published);
    ASSERT_OK_AND_ASSIGN(const uint64_t version, publisher.Publish(metadata, payload, Soon()));
    EXPECT_EQ(version, published + 1);
    published = version;
    ASSERT_OK_AND_ASSIGN(const auto newest, watch->WaitForNewer(seen, Soon()));
    EXPECT_GT(newest->metadata.version(), seen);
    seen = newest->metadata.version();
  }
  while (seen < published) {
    ASSERT_OK_AND_ASSIGN(const auto newest, watch->WaitForNewer(seen, Soon()));
    seen = newest->metadata.version();
  }
  EXPECT_EQ(seen, published);
}

}  // namespace
}  // namespace demorl
