// The worker that fills D_MPC and the planning stream, against in-memory snapshots and replay.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "common/rpc/grpc_status.h"
#include "common/tensor/transition_codec.h"
#include "gmock/gmock.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "services/mpc_rollout/chunking.h"
#include "services/mpc_rollout/mpc_rollout_client.h"
#include "services/mpc_rollout/planning_service.h"
#include "services/mpc_rollout/rollout_worker.h"
#include "services/replay/core/planning_rounds.h"
#include "tests/fakes/policies.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/mpc_rollout/planner_tensors.h"

namespace demorl {
namespace {

using ::demorl::config::v1::RunConfig;
using ::demorl::planning::v1::PlanningService;
using ::demorl::planning::v1::PlanRequest;
using ::demorl::planning::v1::PlanResponse;
using ::demorl::testing::ConstantDynamics;
using ::demorl::testing::LinearValue;
using ::demorl::testing::StatusIs;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::FloatNear;
using ::testing::HasSubstr;

constexpr int kObservations = 3;
constexpr int kActions = 2;

// A watch whose newest version a test sets.
class FakeWatch final : public SnapshotWatch {
 public:
  void Set(uint64_t version, const TensorFile& tensors, const std::string& schema_hash = "") {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->metadata.set_version(version);
    snapshot->metadata.set_schema_hash(schema_hash);
    snapshot->metadata.mutable_lineage()->set_environment_rows(4000);
    snapshot->payload = EncodeSafetensors(tensors);
    absl::MutexLock lock(&mutex_);
    latest_ = std::move(snapshot);
  }

  std::shared_ptr<const Snapshot> Latest() const override {
    absl::MutexLock lock(&mutex_);
    return latest_;
  }

  absl::StatusOr<std::shared_ptr<const Snapshot>> WaitForNewer(uint64_t known, absl::Time deadline) override {
    absl::MutexLock lock(&mutex_);
    const auto ready = [&] {
      mutex_.AssertReaderHeld();
      return closed_ || (latest_ != nullptr && latest_->metadata.version() != known);
    };
    const bool woke = mutex_.AwaitWithDeadline(absl::Condition(&ready), deadline);
    if (closed_) {
      return absl::CancelledError("watch is closed");
    }
    if (!woke) {
      return absl::DeadlineExceededError("no newer version");
    }
    return latest_;
  }

  void Close() override {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
  }

 private:
  mutable absl::Mutex mutex_;
  std::shared_ptr<const Snapshot> latest_;
  bool closed_ = false;
};

// Where a test sees what the worker drew and appended; outlives writers and samplers.
struct FakeReplay {
  absl::Mutex mutex;
  std::vector<TransitionChunk> chunks;
  int draws = 0;
  ReplayWriterOptions writer_options;
  BatchSamplerOptions sampler_options;
  absl::Status append_status;
  float start_value = 0;
  PlanningRounds rounds;

  FakeReplay() { rounds.GoOnAfter(/*dynamics_version=*/0, /*planning_round=*/17); }

  RoundShare Claim(const RoundClaim& claim) {
    absl::MutexLock lock(&mutex);
    return rounds.Claim(claim, RealClock::Get().Now());
  }
  int Rows() {
    absl::MutexLock lock(&mutex);
    int rows = 0;
    for (const TransitionChunk& chunk : chunks) {
      rows += chunk.num_rows();
    }
    return rows;
  }
};

class FakeWriter final : public ReplayWriter {
 public:
  explicit FakeWriter(FakeReplay& replay) : replay_(replay) {}
  absl::Status Append(const TransitionChunk& chunk, absl::Time) override {
    absl::MutexLock lock(&replay_.mutex);
    if (replay_.append_status.ok()) {
      replay_.chunks.push_back(chunk);
    }
    return replay_.append_status;
  }
  int64_t RowsAllowed() override { return 1'000'000; }
  absl::Status WaitForRowsAllowed(int64_t, absl::Time) override { return absl::OkStatus(); }
  int64_t RowsInserted() const override { return 0; }
  uint64_t LastSequence() const override { return 0; }
  uint64_t DurableSequence() const override { return 0; }
  absl::Status Flush(absl::Time) override { return absl::OkStatus(); }
  void Close() override {}

 private:
  FakeReplay& replay_;
};

class FakeSampler final : public BatchSampler {
 public:
  FakeSampler(FakeReplay& replay, int rows) : replay_(replay), rows_(rows) {}
  absl::StatusOr<SampledBatch> Next(absl::Time) override {
    absl::MutexLock lock(&replay_.mutex);
    ++replay_.draws;
    SampledBatch sampled;
    sampled.batch.Resize(rows_, kObservations, kActions);
    std::fill(sampled.batch.observations.begin(), sampled.batch.observations.end(), replay_.start_value);
    sampled.rows_inserted = 1000;
    return sampled;
  }
  void SetShares(const std::vector<TableShare>&) override {}
  void Close() override {}

 private:
  FakeReplay& replay_;
  const int rows_;
};

RunConfig SmallRun() {
  RunConfig config;
  config.set_environment("Fake-v0");
  config.set_run_id("run");
  config.set_device("cpu");
  auto* planner = config.mutable_planner();
  planner->set_population_size(10);
  planner->set_num_start_states(6);
  planner->set_rounds_per_model(2);
  planner->set_max_non_finite(2);
  return config;
}

PlanningEnvironment FakeEnvironment() {
  PlanningEnvironment environment;
  environment.spec.environment_id = "Fake-v0";
  environment.spec.observation_size = kObservations;
  environment.spec.action_size = kActions;
  environment.termination_rule = [](std::span<const float>) { return false; };
  return environment;
}

class MpcRolloutTest : public ::testing::Test {
 protected:
  MpcRolloutTest() : metrics_registry_(MakeLocalMetrics()), metrics_(*metrics_registry_) {
    SnapshotFeed::Watches watches{.dynamics = std::make_unique<FakeWatch>(),
                                  .policy = std::make_unique<FakeWatch>(),
                                  .value = std::make_unique<FakeWatch>()};
    dynamics_ = static_cast<FakeWatch*>(watches.dynamics.get());
    policy_ = static_cast<FakeWatch*>(watches.policy.get());
    value_ = static_cast<FakeWatch*>(watches.value.get());
    feed_ = std::make_unique<SnapshotFeed>(std::move(watches), metrics_);
  }

  void SetPolicyAndValue() {
    policy_->Set(5, ConstantPolicy(kObservations, kActions, 0.2F));
    value_->Set(5, LinearValue(kObservations, kActions, {10, 11}, 0));
  }

  void SetDynamics(uint64_t version, float change = 0.1F) {
    dynamics_->Set(version, ConstantDynamics(kObservations, kActions, 1, 1, change));
  }

  RolloutWorker::Parts Parts(const RunConfig& config) {
    return {.config = config,
            .planner_id = "planner",
            .start_count = 3,
            .find_environment = [] { return FakeEnvironment(); },
            .is_published = [](auto) { return false; },
            .latest_planning_round = [] { return uint64_t{17}; },
            .claim_round = [this](const RoundClaim& claim) { return replay_.Claim(claim); },
            .open_sampler =
                [this](const BatchSamplerOptions& options) {
                  replay_.sampler_options = options;
                  return std::make_unique<FakeSampler>(replay_, options.shares[0].rows);
                },
            .open_writer =
                [this](const ReplayWriterOptions& options) {
                  replay_.writer_options = options;
                  return std::make_unique<FakeWriter>(replay_);
                },
            .feed = feed_.get(),
            .metrics = &metrics_};
  }

  // Waits for what the worker's thread does; false after 20 s.
  template <typename Predicate>
  bool Becomes(const Predicate& predicate) {
    StopSource never;
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    while (!predicate()) {
      if (absl::Now() > deadline) {
        return false;
      }
      never.token().WaitFor(absl::Milliseconds(2));
    }
    return true;
  }

  std::unique_ptr<Metrics> metrics_registry_;
  MpcRolloutMetrics metrics_;
  FakeWatch* dynamics_ = nullptr;
  FakeWatch* policy_ = nullptr;
  FakeWatch* value_ = nullptr;
  std::unique_ptr<SnapshotFeed> feed_;
  FakeReplay replay_;
};

TEST_F(MpcRolloutTest, RunsItsRoundsForEachNewDynamicsVersion) {
  RolloutWorker worker(Parts(SmallRun()));
  worker.Start();
  SetDynamics(1);
  EXPECT_TRUE(
      Becomes([&] { return worker.Status().detail == "waiting for a policy and value to plan with"; }));
  EXPECT_EQ(replay_.Rows(), 0);
  SetPolicyAndValue();
  // 2 rounds of 6 plans; 4,000 rows behind the dynamics are 4 epochs: H = 6.
  EXPECT_TRUE(Becomes([&] { return replay_.Rows() == 72; }));
  SetDynamics(2);
  EXPECT_TRUE(Becomes([&] { return replay_.Rows() == 144; }));
  EXPECT_OK(worker.Stop(absl::Now() + absl::Seconds(5)));

  std::vector<uint64_t> rounds;
  std::vector<uint64_t> versions;
  for (const TransitionChunk& chunk : replay_.chunks) {
    rounds.push_back(chunk.segments[0].provenance->planning_round);
    versions.push_back(chunk.segments[0].provenance->dynamics_version);
  }
  EXPECT_THAT(rounds, ElementsAre(18, 19, 20, 21));
  EXPECT_THAT(versions, ElementsAre(1, 1, 2, 2));
  EXPECT_EQ(replay_.writer_options.table, "mpc");
  EXPECT_EQ(replay_.writer_options.writer_id, "planner");
  EXPECT_EQ(replay_.writer_options.writer_epoch, 3);
  EXPECT_FALSE(replay_.writer_options.simulated);
  EXPECT_FALSE(replay_.sampler_options.counts_as_update);
  EXPECT_EQ(metrics_.rounds.Value(), 4);
  EXPECT_EQ(metrics_.rows.Value(), 144);
}

TEST_F(MpcRolloutTest, IsReadyWithoutAModelWhereTheRunHasNone) {
  RolloutWorker worker(Parts(SmallRun()));
  worker.Start();
  EXPECT_TRUE(Becomes([&] { return worker.Status().detail == "waiting for a first dynamics snapshot"; }));
  EXPECT_EQ(worker.Status().state, ComponentState::kRunning);
}

TEST_F(MpcRolloutTest, IsNotReadyUntilItHasWhatTheRunHasAndCanPlanWithIt) {
  std::atomic<bool> answers = false;
  RolloutWorker::Parts parts = Parts(SmallRun());
  parts.is_published = [&answers](auto) {
    return answers ? absl::StatusOr<bool>(true) : absl::UnavailableError("nobody answers");
  };
  RolloutWorker worker(std::move(parts));
  const auto waits_for = [&worker](const char* what) {
    return worker.Status().state == ComponentState::kStarting &&
           worker.Status().detail == absl::StrCat("waiting: ", what);
  };
  worker.Start();
  EXPECT_TRUE(Becomes([&] { return waits_for("nobody answers"); }));
  answers = true;
  EXPECT_TRUE(Becomes([&] { return waits_for("no newer version"); }));
  SetPolicyAndValue();
  dynamics_->Set(1, ConstantDynamics(kObservations + 1, kActions, 1, 1, 0.1F));
  EXPECT_TRUE(Becomes([&] {
    return waits_for("the newest dynamics, policy or value cannot be planned with, as the log says");
  }));
  SetDynamics(2);
  EXPECT_TRUE(Becomes([&] { return worker.Status().state == ComponentState::kRunning; }));
  dynamics_->Set(3, ConstantDynamics(kObservations + 1, kActions, 1, 1, 0.1F));
  EXPECT_TRUE(Becomes([&] { return metrics_.refused_snapshots.Value() >= 2; }));
  EXPECT_EQ(worker.Status().state, ComponentState::kRunning);
}

TEST_F(MpcRolloutTest, TwoPlannersShareTheStartStatesOfARound) {
  RolloutWorker::Parts other = Parts(SmallRun());
  other.planner_id = "other";
  replay_.Claim({.planner_id = "planner"});  // both are known before the rounds begin
  replay_.Claim({.planner_id = "other"});
  RolloutWorker first(Parts(SmallRun())), second(std::move(other));
  SetPolicyAndValue();
  SetDynamics(1);
  first.Start();
  second.Start();
  EXPECT_TRUE(Becomes([&] { return replay_.Rows() == 72; }));
  EXPECT_OK(first.Stop(absl::Now() + absl::Seconds(5)));
  EXPECT_OK(second.Stop(absl::Now() + absl::Seconds(5)));
  for (const TransitionChunk& chunk : replay_.chunks) {
    EXPECT_EQ(chunk.num_rows(), 18);  // 3 plans of 6 steps
  }
}

TEST_F(MpcRolloutTest, PausesAndResumes) {
  RolloutWorker worker(Parts(SmallRun()));
  worker.SetPaused(true);
  SetPolicyAndValue();
  SetDynamics(1);
  worker.Start();
  EXPECT_EQ(worker.Status().state, ComponentState::kPaused);
  worker.SetPaused(false);
  EXPECT_TRUE(Becomes([&] { return replay_.Rows() == 72; }));
  EXPECT_TRUE(Becomes([&] { return worker.Status().figures.at("rounds") == 2; }));
}

TEST_F(MpcRolloutTest, IsUnhealthyAfterBadRoundsInARowAndHealthyAfterAGoodOne) {
  replay_.start_value = 1e38F;
  RolloutWorker worker(Parts(SmallRun()));
  worker.Start();
  SetPolicyAndValue();
  SetDynamics(1, 3e38F);  // every prediction overflows
  EXPECT_TRUE(Becomes([&] { return worker.Status().state == ComponentState::kUnhealthy; }));
  EXPECT_THAT(worker.Status().detail, HasSubstr("2 planning rounds failed in a row"));
  EXPECT_EQ(metrics_.failed_rounds.Value(), 2);
  EXPECT_EQ(replay_.Rows(), 0);
  SetDynamics(2);
  EXPECT_TRUE(Becomes([&] { return worker.Status().state == ComponentState::kRunning; }));
}

TEST_F(MpcRolloutTest, ARefusedSnapshotIsCountedAndTheLastGoodOneStays) {
  RolloutWorker worker(Parts(SmallRun()));
  worker.Start();
  SetPolicyAndValue();
  SetDynamics(1);
  EXPECT_TRUE(Becomes([&] { return replay_.Rows() == 72; }));
  dynamics_->Set(2, ConstantDynamics(kObservations + 1, kActions, 1, 1, 0.1F));
  EXPECT_TRUE(Becomes([&] { return metrics_.refused_snapshots.Value() == 1; }));
  SetDynamics(3);
  EXPECT_TRUE(Becomes([&] { return worker.Status().figures.at("dynamics_version") == 3; }));
}

TEST_F(MpcRolloutTest, AFencedWriterMakesItUnhealthy) {
  replay_.append_status = absl::AbortedError("a newer epoch of mpc_rollout exists");
  RolloutWorker worker(Parts(SmallRun()));
  worker.Start();
  SetPolicyAndValue();
  SetDynamics(1);
  EXPECT_TRUE(Becomes([&] { return worker.Status().state == ComponentState::kUnhealthy; }));
  EXPECT_THAT(worker.Status().detail, HasSubstr("newer epoch"));
}

TEST_F(MpcRolloutTest, StopsWhileItWaits) {
  RolloutWorker worker(Parts(SmallRun()));
  worker.Start();
  feed_->Close();
  EXPECT_OK(worker.Stop(absl::Now() + absl::Seconds(5)));
  EXPECT_EQ(worker.Status().state, ComponentState::kDraining);
}

TEST(ChunkingTest, KeepsOrderAndRespectsTheLimit) {
  TransitionChunk chunk{.observation_size = 1, .action_size = 1};
  for (int i = 0; i < 7; ++i) {
    chunk.segments.push_back({.episode_id = static_cast<uint64_t>(i),
                              .num_steps = 1,
                              .observations = {0, 0},
                              .actions = {0},
                              .rewards = {0},
                              .policy_versions = {0}});
  }
  const std::vector<TransitionChunk> pieces = SplitChunk(std::move(chunk), 3 * 24);
  ASSERT_EQ(pieces.size(), 3);
  EXPECT_EQ(pieces[0].segments.size(), 3);
  EXPECT_EQ(pieces[2].segments.size(), 1);
  EXPECT_EQ(pieces[2].segments[0].episode_id, 6);
  EXPECT_TRUE(SplitChunk({}, 10).empty());
}

class PlanStreamTest : public MpcRolloutTest {
 protected:
  PlanStreamTest()
      : service_(
            [] {
              return PlanningServiceImpl::Handshake{"run", FakeEnvironment().spec.SchemaHash()};
            },
            [this](uint64_t number) {
              return PlanSession::Create(SmallRun(), FakeEnvironment(), number, *feed_, metrics_);
            },
            1) {
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    stub_ = PlanningService::NewStub(server_->InProcessChannel({}));
  }

  ~PlanStreamTest() override { server_->Shutdown(std::chrono::system_clock::now()); }

  static PlanRequest Request(uint64_t id) {
    PlanRequest request;
    request.set_run_id("run");
    request.set_schema_hash(FakeEnvironment().spec.SchemaHash());
    request.set_request_id(id);
    request.set_observation(EncodeFloats({0, 0, 0}));
    request.mutable_time_budget()->set_seconds(60);
    return request;
  }

  // What the first request of a stream is answered with.
  absl::Status StatusOf(const PlanRequest& request) {
    grpc::ClientContext context;
    auto stream = stub_->Plan(&context);
    stream->Write(request);
    PlanResponse response;
    EXPECT_FALSE(stream->Read(&response));
    return FromGrpcStatus(stream->Finish());
  }

  PlanningServiceImpl service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<PlanningService::Stub> stub_;
};

TEST_F(PlanStreamTest, AnswersInOrderWithThePolicyUntilThereIsAModel) {
  policy_->Set(5, ConstantPolicy(kObservations, kActions, 0.2F));
  grpc::ClientContext context;
  auto stream = stub_->Plan(&context);
  ASSERT_TRUE(stream->Write(Request(1)));
  PlanResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.request_id(), 1);
  EXPECT_TRUE(response.fallback());
  EXPECT_EQ(response.policy_version(), 5);
  EXPECT_EQ(response.dynamics_version(), 0);
  EXPECT_THAT(*DecodeFloats(response.actions()), Each(FloatNear(std::tanh(0.2F), 1e-5)));

  SetPolicyAndValue();
  SetDynamics(4);
  PlanRequest whole = Request(2);
  whole.set_whole_plan(true);
  ASSERT_TRUE(stream->Write(whole));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.request_id(), 2);
  EXPECT_FALSE(response.fallback());
  EXPECT_EQ(response.dynamics_version(), 4);
  EXPECT_EQ(response.horizon_steps(), 6);
  EXPECT_EQ(DecodeFloats(response.actions())->size(), 6 * kActions);
  ASSERT_TRUE(stream->Write(Request(3)));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.request_id(), 3);
  EXPECT_EQ(DecodeFloats(response.actions())->size(), kActions);
  stream->WritesDone();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(metrics_.plans.Value(), 3);
  EXPECT_EQ(metrics_.fallbacks.Value(), 1);
}

TEST_F(PlanStreamTest, ABudgetThatCannotBeMetIsAnsweredByThePolicy) {
  SetPolicyAndValue();
  SetDynamics(4);
  grpc::ClientContext context;
  auto stream = stub_->Plan(&context);
  PlanRequest request = Request(1);
  request.mutable_time_budget()->set_seconds(0);
  request.mutable_time_budget()->set_nanos(1);
  ASSERT_TRUE(stream->Write(request));
  PlanResponse response;
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_TRUE(response.fallback());
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(PlanStreamTest, RefusesAnotherRunSchemaOrShape) {
  policy_->Set(5, ConstantPolicy(kObservations, kActions, 0.2F));
  PlanRequest run = Request(1);
  run.set_run_id("other");
  EXPECT_THAT(StatusOf(run), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("other")));
  PlanRequest schema = Request(1);
  schema.set_schema_hash("0123");
  EXPECT_THAT(StatusOf(schema), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("0123")));
  PlanRequest shape = Request(1);
  shape.set_observation(EncodeFloats({0, 0}));
  EXPECT_THAT(StatusOf(shape), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("2 values")));
  PlanRequest bytes = Request(1);
  bytes.set_observation("abc");
  EXPECT_THAT(StatusOf(bytes), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("3")));
}

TEST_F(PlanStreamTest, WithoutABudgetACallerWaitsForAModelInsteadOfFollowingThePolicy) {
  policy_->Set(5, ConstantPolicy(kObservations, kActions, 0.2F));
  const std::vector<float> observation(kObservations);
  MpcRolloutClient client(server_->InProcessChannel({}),
                          {.run_id = "run", .schema_hash = FakeEnvironment().spec.SchemaHash()});
  const std::unique_ptr<OnlinePlanner> planner = client.OpenPlanner();
  const PlanningState state{.observation = observation, .first_step = true};
  EXPECT_THAT(planner->Plan(state), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("dynamics missing")));

  SetPolicyAndValue();
  SetDynamics(4);
  ASSERT_OK_AND_ASSIGN(const PlannedAction planned, planner->Plan(state));  // over a new stream
  EXPECT_EQ(planned.action.size(), kActions);
  EXPECT_FALSE(planned.fallback);
  EXPECT_GT(planned.policy_version, 0);
  ASSERT_OK(planner->Plan({.observation = observation}));
  EXPECT_EQ(metrics_.plans.Value(), 2);
}

TEST_F(PlanStreamTest, ClosingEndsIdleStreams) {
  policy_->Set(5, ConstantPolicy(kObservations, kActions, 0.2F));
  grpc::ClientContext context;
  auto stream = stub_->Plan(&context);
  ASSERT_TRUE(stream->Write(Request(1)));
  PlanResponse response;
  ASSERT_TRUE(stream->Read(&response));
  service_.Close();
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_FALSE(stream->Finish().ok());
  EXPECT_THAT(StatusOf(Request(2)), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("draining")));
}

}  // namespace
}  // namespace demorl
