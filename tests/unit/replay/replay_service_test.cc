#include "services/replay/replay_service.h"

#include <atomic>
#include <map>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/rpc/grpc_status.h"
#include "common/tensor/transition_codec.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "services/replay/replay_client.h"
#include "tests/unit/replay/fake_kv_store.h"
#include "tests/unit/replay/replay_test_data.h"

namespace demorl {
namespace {

namespace pb = ::demorl::replay::v1;

using ::demorl::testing::FakeDisk;
using ::demorl::testing::FakeKvStore;
using ::demorl::testing::MakeChunk;
using ::demorl::testing::MakePlannedSegment;
using ::demorl::testing::MakeSegment;
using ::demorl::testing::RowsInserted;
using ::demorl::testing::StatusIs;
using ::demorl::testing::TestEnvironment;
using ::demorl::testing::TestOptions;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

absl::Time Soon() { return absl::Now() + absl::Seconds(30); }
absl::Time VerySoon() { return absl::Now() + absl::Milliseconds(100); }

// A server on a core; goes as a crash does when it is destroyed.
class TestServer {
 public:
  explicit TestServer(const ReplayOptions& options = TestOptions(), std::shared_ptr<FakeDisk> disk = nullptr,
                      int64_t window_bytes = 4 << 20) {
    std::unique_ptr<KvStore> store;
    if (disk != nullptr) {
      store = std::make_unique<FakeKvStore>(disk);
    }
    core_ = ReplayCore::Create(options, RealClock::Get(), nullptr, std::move(store)).value();
    service_ = std::make_unique<ReplayService>(core_.get(), window_bytes);
    grpc::ServerBuilder builder;
    builder.RegisterService(service_.get());
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    server_ = builder.BuildAndStart();
    channel_ = server_->InProcessChannel(grpc::ChannelArguments());
  }
  ~TestServer() {
    channel_.reset();
    server_->Shutdown(absl::ToChronoTime(absl::Now()));
    core_->StopStore();
  }

  ReplayCore& core() { return *core_; }
  ReplayService& service() { return *service_; }
  std::shared_ptr<grpc::Channel> channel() { return channel_; }
  int port() const { return port_; }

 private:
  std::unique_ptr<ReplayCore> core_;
  std::unique_ptr<ReplayService> service_;
  std::unique_ptr<grpc::Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  int port_ = 0;
};

ReplayWriterOptions WriterOptions(const std::string& writer_id = "actor", uint64_t epoch = 1,
                                  const std::string& table = "env") {
  return {.table = table, .writer_id = writer_id, .writer_epoch = epoch, .environment = TestEnvironment()};
}

BatchSamplerOptions SamplerOptions(int rows = 4) {
  return {.shares = {{"env", rows}}, .batches_in_flight = 2};
}

TEST(ReplayServiceTest, ASampledBatchNamesTheDynamicsBehindItsPlannedRows) {
  TestServer server;
  ReplayClient client(server.channel(), "run");
  auto writer = client.OpenWriter(WriterOptions());
  ASSERT_OK(writer->Append(MakeChunk({MakeSegment(1, 0, 3)}), Soon()));
  ASSERT_OK(writer->Flush(Soon()));
  ReplayWriterOptions options = WriterOptions();
  options.table = "mpc";
  auto planner = client.OpenWriter(options);
  const Segment planned = MakePlannedSegment(50, 9, 4);
  ASSERT_OK(planner->Append(MakeChunk({planned}), Soon()));
  ASSERT_OK(planner->Flush(Soon()));
  auto sampler = client.OpenSampler({.shares = {{"env", 1}, {"mpc", 3}}});
  ASSERT_OK_AND_ASSIGN(const SampledBatch sampled, sampler->Next(Soon()));
  EXPECT_EQ(sampled.dynamics_version, 9u);
}

TEST(ReplayServiceTest, RowsGoFromAWriterToASamplerAndATail) {
  TestServer server;
  ReplayClient client(server.channel(), "run");
  auto writer = client.OpenWriter(WriterOptions());
  auto sampler = client.OpenSampler(SamplerOptions());
  auto tail = client.OpenTail("env", 0);
  Segment ending = MakeSegment(1, 0, 3);
  ending.terminated = true;
  ASSERT_OK(writer->Append(MakeChunk({ending}), Soon()));
  ASSERT_OK(writer->Flush(Soon()));
  EXPECT_EQ(writer->LastSequence(), 1u);
  EXPECT_EQ(writer->DurableSequence(), 1u);
  EXPECT_EQ(writer->RowsInserted(), 3);
  ASSERT_OK_AND_ASSIGN(const SampledBatch sampled, sampler->Next(Soon()));
  EXPECT_EQ(sampled.batch.num_rows, 4);
  EXPECT_EQ(sampled.batch.observation_size, 2);
  EXPECT_EQ(sampled.rows_inserted, 3);
  EXPECT_THAT(sampled.table_sizes, ElementsAre(3));
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(sampled.batch.terminated[i], sampled.batch.rewards[i] == 2 ? 1 : 0);
  }
  ASSERT_OK_AND_ASSIGN(const TailedRows rows, tail->Next(Soon()));
  EXPECT_EQ(rows.position, 0u);
  EXPECT_EQ(rows.next_position, 3u);
  EXPECT_TRUE(rows.chunk.segments[0].terminated);
  EXPECT_THAT(tail->Next(VerySoon()), StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("rows")));
}

TEST(ReplayServiceTest, TruncatedRowsAreNeverTerminated) {
  TestServer server;
  ReplayClient client(server.channel(), "run");
  auto writer = client.OpenWriter(WriterOptions());
  Segment truncated = MakeSegment(1, 0, 1);
  truncated.truncated = true;
  ASSERT_OK(writer->Append(MakeChunk({truncated}), Soon()));
  ASSERT_OK_AND_ASSIGN(const SampledBatch sampled, client.OpenSampler(SamplerOptions(2))->Next(Soon()));
  EXPECT_THAT(sampled.batch.terminated, ElementsAre(0, 0));
  EXPECT_THAT(sampled.batch.next_observations, ElementsAre(1, 1, 1, 1));
}

TEST(ReplayServiceTest, RefusesOtherRunsAndSchemasAtTheHandshake) {
  TestServer server;
  ReplayClient stranger(server.channel(), "walk");
  EXPECT_THAT(stranger.OpenWriter(WriterOptions())->Append(MakeChunk({MakeSegment(1, 0, 1)}), Soon()),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       ::testing::AllOf(HasSubstr("'walk'"), HasSubstr("'run'"))));
  EXPECT_THAT(stranger.OpenSampler(SamplerOptions())->Next(Soon()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("'walk'")));
  EXPECT_THAT(stranger.OpenTail("env", 0)->Next(Soon()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("'walk'")));
  EXPECT_THAT(stranger.Audit(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("'walk'")));

  ReplayClient client(server.channel(), "run");
  ASSERT_OK(client.OpenWriter(WriterOptions())->WaitForRowsAllowed(1, Soon()));
  ReplayWriterOptions other = WriterOptions("other");
  other.environment.observation_size = 3;
  EXPECT_THAT(client.OpenWriter(other)->WaitForRowsAllowed(1, Soon()),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(TestEnvironment().SchemaHash())));
  EXPECT_THAT(client.OpenTail("walks", 0)->Next(Soon()),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("'walks'")));
}

TEST(ReplayServiceTest, ANewerStartOfAWriterFencesTheOldOne) {
  TestServer server;
  ReplayClient client(server.channel(), "run");
  auto old_writer = client.OpenWriter(WriterOptions("actor", 1));
  ASSERT_OK(old_writer->Append(MakeChunk({MakeSegment(1, 0, 2)}), Soon()));
  ASSERT_OK(old_writer->Flush(Soon()));
  auto new_writer = client.OpenWriter(WriterOptions("actor", 2));
  ASSERT_OK(new_writer->Append(MakeChunk({MakeSegment(1, 0, 2)}), Soon()));
  EXPECT_EQ(new_writer->LastSequence(), 2u);
  ASSERT_OK(new_writer->Flush(Soon()));
  // It must not take the new writer's positions for its own: its chunk 2 was never taken.
  absl::Status status = old_writer->Append(MakeChunk({MakeSegment(1, 2, 2)}), Soon());
  if (status.ok()) {
    status = old_writer->Flush(Soon());
  }
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kAborted, HasSubstr("fenced")));
  EXPECT_EQ(RowsInserted(server.core(), "env"), 4);
}

TEST(ReplayServiceTest, ActorAndLearnerHoldEachOther) {
  ReplayOptions options = TestOptions();
  options.tables[0].rate_limiter = {.updates_per_row = 1, .max_rows_ahead = 2, .min_rows = 3};
  TestServer server(options);
  ReplayClient client(server.channel(), "run");
  auto writer = client.OpenWriter(WriterOptions());
  ASSERT_OK(writer->WaitForRowsAllowed(5, Soon()));  // 3 + 0 + 2
  EXPECT_THAT(writer->WaitForRowsAllowed(6, VerySoon()),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("6 rows")));
  auto sampler = client.OpenSampler(SamplerOptions());
  ASSERT_OK(writer->Append(MakeChunk({MakeSegment(1, 0, 3)}), Soon()));
  EXPECT_EQ(writer->RowsAllowed(), 2);
  EXPECT_THAT(sampler->Next(VerySoon()), StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("a batch")));
  // Two rows earn two updates, and each update a row; the server may draw both before this thread looks.
  ASSERT_OK(writer->Append(MakeChunk({MakeSegment(1, 3, 2)}), Soon()));
  EXPECT_LE(writer->RowsAllowed(), 2);
  ASSERT_OK(sampler->Next(Soon()));
  ASSERT_OK(sampler->Next(Soon()));
  EXPECT_THAT(sampler->Next(VerySoon()), StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("a batch")));
  ASSERT_OK(writer->WaitForRowsAllowed(2, Soon()));
  EXPECT_EQ(writer->RowsAllowed(), 2);
  ASSERT_OK_AND_ASSIGN(const pb::TableInfo info, client.GetTable("env"));
  EXPECT_EQ(info.rate_limiter().updates(), 2u);
  EXPECT_EQ(info.rate_limiter().error(), 0);
  EXPECT_GT(info.rate_limiter().waiting_for_inserts_seconds(), 0);
  EXPECT_GT(info.rate_limiter().waiting_for_updates_seconds(), 0);
}

TEST(ReplayServiceTest, SharesChangeForBatchesDrawnLater) {
  TestServer server;
  ReplayClient client(server.channel(), "run");
  auto writer = client.OpenWriter(WriterOptions());
  ASSERT_OK(writer->Append(MakeChunk({MakeSegment(1, 0, 3)}), Soon()));
  auto planner = client.OpenWriter(WriterOptions("planner", 1, "mpc"));
  BatchSamplerOptions options = SamplerOptions(4);
  options.shares.push_back({"mpc", 2});
  options.may_be_empty = {"mpc"};
  options.batches_in_flight = 1;
  auto sampler = client.OpenSampler(options);
  ASSERT_OK_AND_ASSIGN(SampledBatch sampled, sampler->Next(Soon()));
  EXPECT_EQ(sampled.batch.num_rows, 6);
  EXPECT_THAT(sampled.table_sizes, ElementsAre(3, 0));
  ASSERT_OK(planner->Append(MakeChunk({MakePlannedSegment(9, 1, 5)}), Soon()));
  ASSERT_OK(planner->Flush(Soon()));
  sampler->SetShares({{"env", 1}, {"mpc", 7}});
  for (int i = 0; i < 10 && sampled.batch.num_rows != 8; ++i) {
    ASSERT_OK_AND_ASSIGN(sampled, sampler->Next(Soon()));
  }
  ASSERT_EQ(sampled.batch.num_rows, 8);
  EXPECT_THAT(sampled.table_sizes, ElementsAre(3, 5));
  EXPECT_EQ(sampled.batch.observations[2], 9);
}

TEST(ReplayServiceTest, CloseWakesWhoeverIsBlocked) {
  ReplayOptions options = TestOptions();
  options.tables[0].rate_limiter = {.updates_per_row = 1, .max_rows_ahead = 2, .min_rows = 3};
  TestServer server(options);
  ReplayClient client(server.channel(), "run");
  auto writer = client.OpenWriter(WriterOptions());
  auto sampler = client.OpenSampler(SamplerOptions());
  auto tail = client.OpenTail("env", 0);
  absl::Status writer_status, sampler_status, tail_status;
  std::thread write([&] { writer_status = writer->WaitForRowsAllowed(100, absl::InfiniteFuture()); });
  std::thread sample([&] { sampler_status = sampler->Next(absl::InfiniteFuture()).status(); });
  std::thread read([&] { tail_status = tail->Next(absl::InfiniteFuture()).status(); });
  writer->Close();
  sampler->Close();
  tail->Close();
  write.join();
  sample.join();
  read.join();
  EXPECT_THAT(writer_status, StatusIs(absl::StatusCode::kCancelled, HasSubstr("closed")));
  EXPECT_THAT(sampler_status, StatusIs(absl::StatusCode::kCancelled, HasSubstr("closed")));
  EXPECT_THAT(tail_status, StatusIs(absl::StatusCode::kCancelled, HasSubstr("closed")));
}

TEST(ReplayServiceTest, MalformedChunksHarmNobodyElse) {
  TestServer server;
  ReplayClient client(server.channel(), "run");
  auto neighbour = client.OpenWriter(WriterOptions("neighbour"));
  ASSERT_OK(neighbour->Append(MakeChunk({MakeSegment(1, 0, 2)}), Soon()));

  auto stub = pb::ReplayService::NewStub(server.channel());
  grpc::ClientContext context;
  auto stream = stub->Append(&context);
  pb::AppendRequest open;
  open.mutable_open()->set_run_id("run");
  open.mutable_open()->set_table("env");
  open.mutable_open()->set_writer_id("broken");
  *open.mutable_open()->mutable_environment() = EncodeEnvironmentSpec(TestEnvironment());
  ASSERT_TRUE(stream->Write(open));
  pb::AppendResponse response;
  ASSERT_TRUE(stream->Read(&response));
  pb::AppendRequest request;
  request.mutable_chunk()->set_sequence(1);
  *request.mutable_chunk()->mutable_chunk() =
      EncodeTransitionChunk(MakeChunk({MakeSegment(1, 0, 3), MakeSegment(2, 0, 2)}));
  request.mutable_chunk()->mutable_chunk()->mutable_segments(0)->set_num_steps(0xffffffffu);
  ASSERT_TRUE(stream->Write(request));
  while (response.accepted_sequence() < 1 && stream->Read(&response)) {
  }
  EXPECT_EQ(response.accepted_sequence(), 1u);
  EXPECT_EQ(response.rows_quarantined(), 4u);  // 3 rewards could back at most 4 steps
  // What is no chunk at all ends this stream, with the reason, and no other.
  ASSERT_TRUE(stream->Write(pb::AppendRequest()));
  while (stream->Read(&response)) {
  }
  EXPECT_THAT(FromGrpcStatus(stream->Finish()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("want open or chunk")));

  ASSERT_OK(neighbour->Append(MakeChunk({MakeSegment(1, 2, 2)}), Soon()));
  ASSERT_OK(neighbour->Flush(Soon()));
  EXPECT_EQ(RowsInserted(server.core(), "env"), 4 + 2);
  ASSERT_OK_AND_ASSIGN(const pb::TableInfo info, client.GetTable("env"));
  EXPECT_EQ(info.rows_quarantined().at("malformed"), 4u);
}

TEST(ReplayServiceTest, AWindowSmallerThanAChunkOnlySlowsTheWriter) {
  TestServer server(TestOptions(), nullptr, /*window_bytes=*/1024);
  ReplayClient client(server.channel(), "run");
  auto writer = client.OpenWriter(WriterOptions());
  for (int i = 0; i < 50; ++i) {
    ASSERT_OK(writer->Append(MakeChunk({MakeSegment(1, 100 * i, 100)}), Soon()));
  }
  ASSERT_OK(writer->Flush(Soon()));
  EXPECT_EQ(RowsInserted(server.core(), "env"), 5000);
  EXPECT_THAT(server.core().Audit().violations, IsEmpty());
}

TEST(ReplayServiceTest, StreamsEndOnDrainAndClientsWaitForTheNextServer) {
  TestServer server;
  ReplayClient client(server.channel(), "run");
  auto writer = client.OpenWriter(WriterOptions());
  ASSERT_OK(writer->Append(MakeChunk({MakeSegment(1, 0, 2)}), Soon()));
  ASSERT_OK(writer->Flush(Soon()));
  server.core().Close();
  server.service().EndStreams();
  ASSERT_OK(writer->Append(MakeChunk({MakeSegment(1, 2, 2)}), Soon()));
  EXPECT_THAT(writer->Flush(VerySoon()), StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("replay")));
  EXPECT_EQ(RowsInserted(server.core(), "env"), 2);
}

TEST(ReplayServiceTest, ClientsMayCloseInTheMomentInWhichAStreamEnds) {
  TestServer server;
  ReplayClient client(server.channel(), "run");
  server.service().EndStreams();  // from now on each stream ends as soon as it has begun
  for (int i = 0; i < 100; ++i) {
    auto tail = client.OpenTail("env", 0);
    auto sampler = client.OpenSampler(SamplerOptions());
    auto writer = client.OpenWriter(WriterOptions());
    EXPECT_THAT(tail->Next(absl::Now() + absl::Microseconds(7 * i)).status(),
                StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("waited")));
  }
}

TEST(ReplayServiceTest, PurgesAndCheckpointsAnswerWhenTheyAreDurable) {
  auto disk = std::make_shared<FakeDisk>();
  TestServer server(TestOptions(), disk);
  ReplayClient client(server.channel(), "run");
  auto planner = client.OpenWriter(WriterOptions("planner", 1, "mpc"));
  ASSERT_OK(planner->Append(MakeChunk({MakePlannedSegment(1, 5, 3), MakePlannedSegment(2, 6, 1)}), Soon()));
  ASSERT_OK(planner->Flush(Soon()));
  ASSERT_OK_AND_ASSIGN(const int64_t removed, client.PurgeDynamicsVersion("mpc", 5));
  EXPECT_EQ(removed, 3);
  ASSERT_OK_AND_ASSIGN(const pb::CreateCheckpointResponse checkpoint, client.CreateCheckpoint());
  EXPECT_EQ(checkpoint.rows_inserted().at("mpc"), 4u);
  ASSERT_OK_AND_ASSIGN(const pb::ListTablesResponse tables, client.ListTables());
  EXPECT_EQ(tables.run_id(), "run");
  EXPECT_EQ(tables.tables(1).size(), 1u);
  ASSERT_OK_AND_ASSIGN(const pb::AuditResponse audit, client.Audit());
  EXPECT_EQ(audit.writers(0).durable_sequence(), 1u);
  EXPECT_EQ(audit.violations_size(), 0);
}

// Writers, samplers, tails and purges at once; also there for ThreadSanitizer.
TEST(ReplayServiceTest, EverythingAtOnceLosesAndDoublesNothing) {
  constexpr int kWriters = 3, kChunks = 60, kSteps = 5;
  auto disk = std::make_shared<FakeDisk>();
  TestServer server(TestOptions(), disk);
  ReplayClient client(server.channel(), "run");
  std::vector<std::thread> threads;
  for (int w = 0; w < kWriters; ++w) {
    threads.emplace_back([&client, w] {
      auto writer = client.OpenWriter(WriterOptions(absl::StrCat("actor", w)));
      for (int i = 0; i < kChunks; ++i) {
        EXPECT_OK(
            writer->Append(MakeChunk({MakeSegment(static_cast<uint64_t>(w), kSteps * i, kSteps)}), Soon()));
      }
      EXPECT_OK(writer->Flush(Soon()));
    });
  }
  for (int s = 0; s < 2; ++s) {
    threads.emplace_back([&client] {
      auto sampler = client.OpenSampler(SamplerOptions(32));
      for (int i = 0; i < 50; ++i) {
        const auto sampled = sampler->Next(Soon());
        EXPECT_OK(sampled);
        for (size_t row = 0; sampled.ok() && row < 32; ++row) {
          EXPECT_EQ(sampled->batch.next_observations[2 * row + 1], sampled->batch.rewards[row] + 1);
        }
      }
    });
  }
  std::map<std::pair<float, float>, int> seen;
  threads.emplace_back([&client, &seen] {
    auto tail = client.OpenTail("env", 0);
    uint64_t next = 0;
    while (next < kWriters * kChunks * kSteps) {
      const auto rows = tail->Next(Soon());
      ASSERT_OK(rows);
      EXPECT_EQ(rows->position, next);
      next = rows->next_position;
      for (const Segment& segment : rows->chunk.segments) {
        for (int step = 0; step < segment.num_steps; ++step) {
          ++seen[{segment.observations[0], segment.rewards[static_cast<size_t>(step)]}];
        }
      }
    }
  });
  threads.emplace_back([&client] {
    for (int i = 0; i < 20; ++i) {
      EXPECT_OK(client.GetTable("env"));
      EXPECT_OK(client.PurgeDynamicsVersion("mpc", 1));
      EXPECT_OK(client.Audit());
    }
  });
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(seen.size(), static_cast<size_t>(kWriters * kChunks * kSteps));
  for (const auto& [row, count] : seen) {
    EXPECT_EQ(count, 1) << row.first << " " << row.second;
  }
  EXPECT_THAT(server.core().Audit().violations, IsEmpty());
}

}  // namespace
}  // namespace demorl
