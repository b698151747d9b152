// The snapshot service as its callers see it: client, skin, store and server together.

#include <unistd.h>

#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/crc32c.h"
#include "common/config/loader.h"
#include "common/policy/safetensors.h"
#include "common/rpc/channel_factory.h"
#include "common/rpc/grpc_status.h"
#include "common/rpc/server_runner.h"
#include "common/rpc/service_context.h"
#include "common/tensor/trace_codec.h"
#include "demorl/snapshot/v1/snapshot_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "services/snapshot/snapshot_client.h"
#include "services/snapshot/snapshot_component.h"
#include "tests/fakes/fake_trace_log.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

namespace proto = ::demorl::snapshot::v1;
using ::demorl::testing::StatusIs;
using ::testing::_;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr auto kPolicy = proto::SNAPSHOT_KIND_POLICY;
constexpr auto kDynamics = proto::SNAPSHOT_KIND_DYNAMICS;

absl::Time Soon() { return absl::Now() + absl::Seconds(30); }

std::string Payload(float value, int64_t size = 1) {
  TensorFile file;
  file.tensors["weight"] = {.shape = {size}, .values = std::vector<float>(static_cast<size_t>(size), value)};
  return EncodeSafetensors(file);
}

proto::SnapshotMetadata Metadata(proto::SnapshotKind kind = kPolicy) {
  proto::SnapshotMetadata metadata;
  metadata.set_kind(kind);
  (*metadata.mutable_architecture())["type"] = "test";
  metadata.set_observation_size(4);
  metadata.set_action_size(1);
  metadata.mutable_lineage()->set_learner_step(7);
  return metadata;
}

class SnapshotServiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              absl::StrCat("snapshot_service_", ::getpid(), "_",
                           ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    StartServer();
    client_ = std::make_unique<SnapshotClient>(channel_, "run");
  }
  void TearDown() override {
    client_.reset();
    StopServer();
    std::filesystem::remove_all(folder_);
  }

  void StartServer(TraceLog* trace_log = nullptr) {
    demorl::config::v1::RunConfig config;
    config.set_run_id("run");
    FillDefaults(&config);
    ASSERT_OK_AND_ASSIGN(hosted_, MakeHostedContext(config, "snapshot", (folder_ / "data").string(),
                                                    metrics_.get(), nullptr, nullptr));
    hosted_.context.trace_log = trace_log;
    ASSERT_OK_AND_ASSIGN(component_, MakeSnapshotComponent(hosted_.context));
    ASSERT_OK_AND_ASSIGN(
        runner_, ServerRunner::Start({.address = SocketAddress(), .run_id = "run"}, component_.get()));
    channel_ = runner_->InProcessChannel();
  }
  void StopServer() {
    runner_.reset();
    component_.reset();
    hosted_.data_dir.reset();
  }

  std::string SocketAddress() const { return absl::StrCat("unix:", (folder_ / "socket").string()); }

  uint64_t MustPublish(float value, proto::SnapshotKind kind = kPolicy) {
    const auto version = client_->Publish(Metadata(kind), Payload(value), Soon());
    EXPECT_OK(version);
    return version.ok() ? *version : 0;
  }

  std::filesystem::path folder_;
  std::unique_ptr<Metrics> metrics_ = MakeLocalMetrics();
  HostedContext hosted_;
  std::unique_ptr<ServiceComponent> component_;
  std::unique_ptr<ServerRunner> runner_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<SnapshotClient> client_;
};

TEST_F(SnapshotServiceTest, ATraceGoesOnFromWhatStoresAVersion) {
  FakeTraceLog trace_log;
  client_.reset();
  StopServer();
  StartServer(&trace_log);
  client_ = std::make_unique<SnapshotClient>(channel_, "run");
  const TraceContext published = {.trace_id = {200}, .span_id = {201}};
  proto::SnapshotMetadata metadata = Metadata();
  EncodeTraceContexts({published}, metadata.mutable_traces());
  ASSERT_OK(client_->Publish(metadata, Payload(2), Soon()));
  ASSERT_OK_AND_ASSIGN(const auto snapshot, client_->Get(kPolicy, 1));
  MustPublish(3);  // without a trace, and so without a span
  const std::vector<FakeTraceLog::Span> spans = trace_log.spans();
  ASSERT_EQ(spans.size(), 1);
  EXPECT_EQ(spans[0].content.name, "store");
  EXPECT_EQ(spans[0].parent, published);
  EXPECT_LE(spans[0].content.start, spans[0].content.end);
  EXPECT_EQ(DecodeTraceContexts(snapshot->metadata.traces()), std::vector<TraceContext>{spans[0].context});
  client_.reset();
  StopServer();
}

TEST_F(SnapshotServiceTest, AWatcherReceivesWhatIsPublished) {
  const auto watch = client_->Watch(kPolicy);
  EXPECT_EQ(watch->Latest(), nullptr);
  MustPublish(1, kDynamics);
  proto::SnapshotMetadata metadata = Metadata();
  metadata.set_evaluation_return(950);
  EncodeTraceContexts({{.trace_id = {1}, .span_id = {2}}}, metadata.mutable_traces());
  ASSERT_OK_AND_ASSIGN(const uint64_t version, client_->Publish(metadata, Payload(2), Soon()));
  ASSERT_OK_AND_ASSIGN(const auto snapshot, watch->WaitForNewer(0, Soon()));
  EXPECT_EQ(snapshot->metadata.version(), version);
  EXPECT_EQ(snapshot->metadata.run_id(), "run");
  EXPECT_EQ(snapshot->metadata.lineage().learner_step(), 7);
  EXPECT_EQ(snapshot->metadata.architecture().at("type"), "test");
  EXPECT_EQ(snapshot->metadata.evaluation_return(), 950);
  ASSERT_EQ(snapshot->metadata.traces_size(), 1);
  EXPECT_EQ(DecodeTraceContext(snapshot->metadata.traces(0))->span_id[0], 2);
  EXPECT_GT(snapshot->metadata.create_time().seconds(), 0);
  EXPECT_EQ(snapshot->payload, Payload(2));
  EXPECT_EQ(watch->Latest(), snapshot);
  MustPublish(3);
  ASSERT_OK_AND_ASSIGN(const auto newer, watch->WaitForNewer(version, Soon()));
  EXPECT_EQ(newer->payload, Payload(3));
}

TEST_F(SnapshotServiceTest, TheWaitEndsAtTheDeadlineAndAtClose) {
  const auto watch = client_->Watch(kPolicy);
  EXPECT_THAT(watch->WaitForNewer(0, absl::Now()), StatusIs(absl::StatusCode::kDeadlineExceeded, _));
  watch->Close();
  EXPECT_THAT(watch->WaitForNewer(0, Soon()), StatusIs(absl::StatusCode::kCancelled, _));
}

TEST_F(SnapshotServiceTest, AWatcherThatDoesNotReadSkipsVersions) {
  const auto stub = proto::SnapshotService::NewStub(channel_);
  grpc::ClientContext context;
  proto::WatchRequest request;
  request.set_run_id("run");
  request.set_kind(kPolicy);
  const auto reader = stub->Watch(&context, request);
  constexpr int kVersions = 20;
  // Larger than what the transport takes in advance.
  constexpr int64_t kFloats = 1 << 20;
  for (int i = 1; i <= kVersions; ++i) {
    ASSERT_OK(client_->Publish(Metadata(), Payload(static_cast<float>(i), kFloats), Soon()));
  }
  std::vector<uint64_t> received;
  proto::WatchResponse response;
  do {
    ASSERT_TRUE(reader->Read(&response));
    EXPECT_TRUE(received.empty() || response.metadata().version() > received.back());
    EXPECT_EQ(Crc32c(response.payload()), response.metadata().payload_crc32c());
    received.push_back(response.metadata().version());
  } while (received.back() < kVersions);
  EXPECT_LT(received.size(), kVersions / 2);
  context.TryCancel();
}

TEST_F(SnapshotServiceTest, AWatchSurvivesARestartOfTheServer) {
  MustPublish(1);
  SnapshotClient remote(MakeChannel(SocketAddress()), "run");
  const auto watch = remote.Watch(kPolicy);
  ASSERT_OK_AND_ASSIGN(const auto first, watch->WaitForNewer(0, Soon()));
  StopServer();
  EXPECT_EQ(watch->Latest(), first) << "what was received stays in use";
  StartServer();
  client_ = std::make_unique<SnapshotClient>(channel_, "run");
  EXPECT_EQ(MustPublish(2), 2);
  ASSERT_OK_AND_ASSIGN(const auto second, watch->WaitForNewer(1, Soon()));
  EXPECT_EQ(second->payload, Payload(2));
}

TEST_F(SnapshotServiceTest, APublicationWaitsForAServerThatComesBack) {
  SnapshotClient remote(MakeChannel(SocketAddress()), "run");
  ASSERT_OK(remote.Publish(Metadata(), Payload(1), Soon()));
  StopServer();
  EXPECT_THAT(remote.Publish(Metadata(), Payload(2), absl::Now() + absl::Milliseconds(100)).status().code(),
              ::testing::AnyOf(absl::StatusCode::kUnavailable, absl::StatusCode::kDeadlineExceeded));
  absl::StatusOr<uint64_t> version = absl::UnknownError("");
  std::thread publisher([&] { version = remote.Publish(Metadata(), Payload(2), Soon()); });
  StartServer();
  publisher.join();
  ASSERT_OK(version);
  EXPECT_EQ(*version, 2);
}

TEST_F(SnapshotServiceTest, ANonFiniteSnapshotIsSeenByNobody) {
  MustPublish(1);
  const auto watch = client_->Watch(kPolicy);
  ASSERT_OK(watch->WaitForNewer(0, Soon()));
  EXPECT_THAT(client_->Publish(Metadata(), Payload(std::numeric_limits<float>::quiet_NaN()), Soon()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("weight")));
  MustPublish(2);
  ASSERT_OK_AND_ASSIGN(const auto next, watch->WaitForNewer(1, Soon()));
  EXPECT_EQ(next->payload, Payload(2));
}

TEST_F(SnapshotServiceTest, AnotherRunIsRefusedByNameInEveryHandshake) {
  MustPublish(1);
  SnapshotClient other(channel_, "other");
  const auto both = AllOf(HasSubstr("\"run\""), HasSubstr("\"other\""));
  EXPECT_THAT(other.Publish(Metadata(), Payload(1), Soon()),
              StatusIs(absl::StatusCode::kFailedPrecondition, both));
  EXPECT_THAT(other.Pin(kPolicy, 1), StatusIs(absl::StatusCode::kFailedPrecondition, both));
  EXPECT_THAT(other.Unpin(kPolicy), StatusIs(absl::StatusCode::kFailedPrecondition, both));
  EXPECT_THAT(other.Watch(kPolicy)->WaitForNewer(0, Soon()),
              StatusIs(absl::StatusCode::kFailedPrecondition, both));
}

TEST_F(SnapshotServiceTest, AnUnspecifiedKindIsRefused) {
  EXPECT_THAT(client_->Watch(proto::SNAPSHOT_KIND_UNSPECIFIED)->WaitForNewer(0, Soon()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("kind is 0")));
  EXPECT_THAT(client_->Get(proto::SNAPSHOT_KIND_UNSPECIFIED, 0),
              StatusIs(absl::StatusCode::kInvalidArgument, _));
}

TEST_F(SnapshotServiceTest, GetSendsLargePayloadsInPieces) {
  const std::string payload = Payload(0.5, (5 << 18) + 3);
  ASSERT_GT(payload.size(), 5 << 20);
  ASSERT_OK(client_->Publish(Metadata(), payload, Soon()));
  MustPublish(2);
  ASSERT_OK_AND_ASSIGN(const auto old, client_->Get(kPolicy, 1));
  EXPECT_EQ(old->payload, payload);
  ASSERT_OK_AND_ASSIGN(const auto current, client_->Get(kPolicy, 0));
  EXPECT_EQ(current->metadata.version(), 2);
  EXPECT_THAT(client_->Get(kPolicy, 9), StatusIs(absl::StatusCode::kNotFound, HasSubstr("version 9")));
  EXPECT_THAT(client_->Get(kDynamics, 0), StatusIs(absl::StatusCode::kNotFound, HasSubstr("dynamics")));
}

TEST_F(SnapshotServiceTest, OperatorsListPinAndUnpin) {
  MustPublish(1);
  MustPublish(2);
  const auto watch = client_->Watch(kPolicy);
  ASSERT_OK(watch->WaitForNewer(0, Soon()));
  ASSERT_OK(client_->Pin(kPolicy, 1));
  ASSERT_OK_AND_ASSIGN(const auto rolled_back, watch->WaitForNewer(2, Soon()));
  EXPECT_EQ(rolled_back->metadata.version(), 1);
  ASSERT_OK_AND_ASSIGN(const auto list, client_->List(kPolicy, 0));
  ASSERT_EQ(list.snapshots_size(), 2);
  EXPECT_EQ(list.snapshots(0).version(), 2);
  EXPECT_EQ(list.pinned().at("policy"), 1);
  ASSERT_OK(client_->Unpin(kPolicy));
  ASSERT_OK_AND_ASSIGN(const auto newest, watch->WaitForNewer(1, Soon()));
  EXPECT_EQ(newest->metadata.version(), 2);
  EXPECT_THAT(client_->Pin(kPolicy, 9), StatusIs(absl::StatusCode::kNotFound, _));
}

TEST_F(SnapshotServiceTest, ABrokenPublishStreamIsRefused) {
  const auto stub = proto::SnapshotService::NewStub(channel_);
  const auto publish = [&](const std::vector<proto::PublishRequest>& requests) {
    grpc::ClientContext context;
    proto::PublishResponse response;
    const auto writer = stub->Publish(&context, &response);
    for (const proto::PublishRequest& request : requests) {
      writer->Write(request);
    }
    writer->WritesDone();
    return FromGrpcStatus(writer->Finish());
  };
  const std::string payload = Payload(1);
  proto::PublishRequest metadata;
  *metadata.mutable_metadata() = Metadata();
  metadata.mutable_metadata()->set_payload_bytes(payload.size());
  metadata.mutable_metadata()->set_payload_crc32c(Crc32c(payload));
  proto::PublishRequest piece;
  piece.set_payload_piece(payload);
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(publish({}), StatusIs(kInvalid, _));
  EXPECT_THAT(publish({piece}), StatusIs(kInvalid, HasSubstr("before its metadata")));
  EXPECT_THAT(publish({metadata, metadata}), StatusIs(kInvalid, HasSubstr("once")));
  EXPECT_THAT(publish({metadata}), StatusIs(absl::StatusCode::kDataLoss, _));
  EXPECT_THAT(publish({metadata, piece, piece}),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("more bytes")));
  metadata.mutable_metadata()->set_payload_bytes(1 << 30);
  EXPECT_THAT(publish({metadata}), StatusIs(kInvalid, HasSubstr("allowed are")));
  EXPECT_EQ(MustPublish(1), 1);
}

TEST_F(SnapshotServiceTest, APausedServiceRefusesPublicationsAndServesTheRest) {
  MustPublish(1);
  ASSERT_OK(component_->Pause());
  EXPECT_EQ(component_->Status().state, ComponentState::kPaused);
  EXPECT_THAT(client_->Publish(Metadata(), Payload(2), absl::Now() + absl::Milliseconds(50)).status().code(),
              ::testing::AnyOf(absl::StatusCode::kUnavailable, absl::StatusCode::kDeadlineExceeded));
  ASSERT_OK(client_->Get(kPolicy, 0));
  ASSERT_OK(component_->Resume());
  EXPECT_EQ(MustPublish(2), 2);
}

TEST_F(SnapshotServiceTest, ADrainEndsOpenWatches) {
  MustPublish(1);
  const auto stub = proto::SnapshotService::NewStub(channel_);
  grpc::ClientContext context;
  proto::WatchRequest request;
  request.set_kind(kPolicy);
  const auto reader = stub->Watch(&context, request);
  proto::WatchResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_OK(runner_->Shutdown());
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_THAT(FromGrpcStatus(reader->Finish()),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr("draining")));
  EXPECT_EQ(component_->Status().state, ComponentState::kDraining);
}

}  // namespace
}  // namespace demorl
