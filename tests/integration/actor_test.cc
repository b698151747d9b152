// The actor against the real replay and snapshot services, over in-process channels.

#include <unistd.h>

#include <filesystem>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/config/loader.h"
#include "common/rpc/grpc_status.h"
#include "common/rpc/server_runner.h"
#include "common/rpc/service_context.h"
#include "demorl/evaluation/v1/evaluation_service.grpc.pb.h"
#include "gtest/gtest.h"
#include "services/actor/actor_component.h"
#include "services/replay/replay_client.h"
#include "services/replay/replay_component.h"
#include "services/snapshot/snapshot_client.h"
#include "services/snapshot/snapshot_component.h"
#include "tests/fakes/policies.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::snapshot::v1::SNAPSHOT_KIND_POLICY;
using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

constexpr char kConfig[] = R"(
environment: "InvertedPendulum-v5"
run_id: "run"
environment_steps: 300
sac { learning_starts: 100 }
actor { num_environments: 2 chunk_steps: 7 }
replay {
  tables { name: "env" durability: DURABILITY_NONE }
  tables { name: "mpc" durability: DURABILITY_NONE }
}
snapshot {}
)";

// A component behind a server that never leaves the process.
struct Hosted {
  HostedContext context;
  std::unique_ptr<ServiceComponent> component;
  std::unique_ptr<ServerRunner> runner;
};

class ActorTest : public ::testing::Test {
 protected:
  ActorTest()
      : folder_(std::filesystem::path(::testing::TempDir()) /
                absl::StrCat("actor_", getpid(), "_",
                             ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    EXPECT_OK(MergeTextProto(kConfig, "test", &config_));
  }
  ~ActorTest() override { std::filesystem::remove_all(folder_); }

  void StartStores() {
    FillDefaults(&config_);
    ASSERT_NO_FATAL_FAILURE(Host(MakeReplayComponent, "", &replay_));
    ASSERT_NO_FATAL_FAILURE(Host(MakeSnapshotComponent, "", &snapshot_));
    replay_client_ = std::make_unique<ReplayClient>(replay_.runner->InProcessChannel(), "run");
    snapshot_client_ = std::make_unique<SnapshotClient>(snapshot_.runner->InProcessChannel(), "run");
  }

  void Host(const ComponentFactory& factory, const std::string& data_dir, Hosted* hosted) {
    ASSERT_OK_AND_ASSIGN(
        hosted->context,
        MakeHostedContext(config_, "actor", data_dir, metrics_.get(),
                          replay_.runner == nullptr ? nullptr : replay_.runner->InProcessChannel(),
                          snapshot_.runner == nullptr ? nullptr : snapshot_.runner->InProcessChannel()));
    ASSERT_OK_AND_ASSIGN(hosted->component, factory(hosted->context.context));
    ASSERT_OK_AND_ASSIGN(hosted->runner, ServerRunner::Start({.run_id = "run"}, hosted->component.get()));
  }
  void StartActor(Hosted* actor) { Host(MakeActorComponent, (folder_ / "actor").string(), actor); }

  uint64_t Publish(float bias) {
    demorl::snapshot::v1::SnapshotMetadata metadata;
    metadata.set_kind(SNAPSHOT_KIND_POLICY);
    metadata.set_observation_size(4);
    metadata.set_action_size(1);
    const absl::StatusOr<uint64_t> version =
        snapshot_client_->Publish(metadata, EncodeSafetensors(ConstantPolicy(4, 1, bias)), Soon());
    EXPECT_OK(version);
    return version.value_or(0);
  }

  template <typename Predicate>
  static bool AwaitStatus(const Hosted& actor, const Predicate& predicate) {
    absl::Mutex mutex;
    absl::MutexLock lock(&mutex);
    const auto never = [] { return false; };
    for (const absl::Time end = Soon(); absl::Now() < end;) {
      if (predicate(actor.component->Status())) {
        return true;
      }
      mutex.AwaitWithTimeout(absl::Condition(&never), absl::Milliseconds(5));
    }
    return false;
  }
  static bool AwaitFinished(const Hosted& actor) {
    return AwaitStatus(actor, [](const auto& status) { return status.detail == "finished"; });
  }

  // All rows of table `env`.
  std::vector<Segment> ReadTable(int64_t num_rows) {
    std::vector<Segment> segments;
    const std::unique_ptr<TableTail> tail = replay_client_->OpenTail("env", 0);
    for (int64_t rows = 0; rows < num_rows;) {
      absl::StatusOr<TailedRows> next = tail->Next(Soon());
      EXPECT_OK(next);
      if (!next.ok()) {
        break;
      }
      rows += next->chunk.num_rows();
      segments.insert(segments.end(), next->chunk.segments.begin(), next->chunk.segments.end());
    }
    return segments;
  }

  static absl::Time Soon() { return absl::Now() + absl::Seconds(30); }

  const std::filesystem::path folder_;
  demorl::config::v1::RunConfig config_;
  std::unique_ptr<Metrics> metrics_ = MakeLocalMetrics();
  Hosted replay_, snapshot_;
  std::unique_ptr<ReplayClient> replay_client_;
  std::unique_ptr<SnapshotClient> snapshot_client_;
};

TEST_F(ActorTest, FillsTheTableWithTheStepsOfTheRunAtRandomFirstAndThenWithThePolicy) {
  ASSERT_NO_FATAL_FAILURE(StartStores());
  const uint64_t version = Publish(0.01f);
  Hosted actor;
  ASSERT_NO_FATAL_FAILURE(StartActor(&actor));
  ASSERT_TRUE(AwaitFinished(actor));
  ASSERT_OK(actor.runner->Shutdown());
  ASSERT_OK_AND_ASSIGN(const auto table, replay_client_->GetTable("env"));
  EXPECT_EQ(table.rows_inserted(), 300u);
  EXPECT_EQ(table.environment().environment_id(), "InvertedPendulum-v5");
  int num_random = 0, num_policy = 0;
  for (const Segment& segment : ReadTable(300)) {
    EXPECT_LE(segment.num_steps, 7);
    for (const uint64_t row_version : segment.policy_versions) {
      num_random += row_version == 0;
      num_policy += row_version == version;
    }
  }
  EXPECT_GE(num_random, 100);
  EXPECT_LE(num_random, 102);
  EXPECT_EQ(num_random + num_policy, 300);
  ASSERT_OK_AND_ASSIGN(const auto audit, replay_client_->Audit());
  EXPECT_TRUE(audit.violations().empty());
}

TEST_F(ActorTest, GoesOnAfterARestartWithNewEpisodesAndLosesAndDoublesNothing) {
  config_.mutable_actor()->set_spool_dir((folder_ / "spool").string());
  config_.set_environment_steps(2000);
  ASSERT_NO_FATAL_FAILURE(StartStores());
  Publish(0.01f);
  {
    Hosted actor;
    ASSERT_NO_FATAL_FAILURE(StartActor(&actor));
    ASSERT_TRUE(AwaitStatus(actor, [](const auto& status) {
      const auto rows = status.figures.find("rows_inserted");
      return rows != status.figures.end() && rows->second >= 200;
    }));
    actor.component->Drain(absl::Now()).IgnoreError();
  }
  Hosted actor;
  ASSERT_NO_FATAL_FAILURE(StartActor(&actor));
  EXPECT_EQ(actor.context.context.start_count, 2u);
  ASSERT_TRUE(AwaitFinished(actor));
  ASSERT_OK(actor.runner->Shutdown());
  ASSERT_OK_AND_ASSIGN(const auto table, replay_client_->GetTable("env"));
  EXPECT_GE(table.rows_inserted(), 2000u);
  std::set<std::pair<uint64_t, int>> rows;
  std::set<uint64_t> starts;
  for (const Segment& segment : ReadTable(table.rows_inserted())) {
    starts.insert(segment.episode_id >> 40);
    for (int i = 0; i < segment.num_steps; ++i) {
      EXPECT_TRUE(rows.insert({segment.episode_id, segment.first_step + i}).second)
          << segment.episode_id << ", step " << segment.first_step + i << " is there twice";
    }
  }
  EXPECT_EQ(starts, (std::set<uint64_t>{1, 2}));
  // No step is missing before a later one of the same episode.
  for (const auto& [episode, step] : rows) {
    EXPECT_TRUE(step == 0 || rows.count({episode, step - 1}) > 0) << episode << ", step " << step - 1;
  }
}

TEST_F(ActorTest, StaysWithinTheRunAheadLimitAndSendsWhatTheLearnerNeeds) {
  auto* limiter = config_.mutable_replay()->mutable_tables(0)->mutable_rate_limiter();
  limiter->set_updates_per_row(1);
  limiter->set_min_rows(50);
  limiter->set_max_rows_ahead(20);
  config_.mutable_actor()->set_chunk_steps(1000);
  config_.set_environment_steps(150);
  ASSERT_NO_FATAL_FAILURE(StartStores());
  Publish(0.01f);
  Hosted actor;
  ASSERT_NO_FATAL_FAILURE(StartActor(&actor));
  ASSERT_TRUE(AwaitStatus(
      actor, [](const auto& status) { return absl::StrContains(status.detail, "waiting for the learner"); }));
  ASSERT_OK_AND_ASSIGN(const auto table, replay_client_->GetTable("env"));
  EXPECT_GE(table.rows_inserted(), 50u);
  EXPECT_LE(table.rows_inserted(), 71u);
  const auto sampler = replay_client_->OpenSampler({.shares = {{"env", 16}}});
  for (int update = 0; update < 100; ++update) {
    ASSERT_OK(sampler->Next(Soon()));
  }
  ASSERT_TRUE(AwaitFinished(actor));
  sampler->Close();
}

TEST_F(ActorTest, EvaluatesAnyVersionOfThePolicyWithoutTouchingTraining) {
  ASSERT_NO_FATAL_FAILURE(StartStores());
  const uint64_t first = Publish(0.9f);
  const uint64_t second = Publish(0.0f);
  Hosted actor;
  ASSERT_NO_FATAL_FAILURE(StartActor(&actor));
  ASSERT_TRUE(AwaitFinished(actor));
  ASSERT_TRUE(
      AwaitStatus(actor, [&](const auto& status) { return status.figures.at("policy_version") == second; }));
  const auto stub = demorl::evaluation::v1::EvaluationService::NewStub(actor.runner->InProcessChannel());
  const auto evaluate = [&](uint64_t version, demorl::evaluation::v1::EvaluateResponse* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    demorl::evaluation::v1::EvaluateRequest request;
    request.set_run_id("run");
    request.set_policy_version(version);
    request.set_num_episodes(5);
    request.set_seed(4);
    return FromGrpcStatus(stub->Evaluate(&context, request, response));
  };
  demorl::evaluation::v1::EvaluateResponse current, named, again, older;
  ASSERT_OK(evaluate(0, &current));
  EXPECT_EQ(current.policy_version(), second);
  ASSERT_OK(evaluate(second, &named));
  ASSERT_OK(evaluate(first, &older));
  EXPECT_EQ(older.policy_version(), first);
  EXPECT_EQ(current.SerializeAsString(), named.SerializeAsString());
  EXPECT_NE(current.returns(0), older.returns(0));
  EXPECT_THAT(evaluate(77, &again), StatusIs(absl::StatusCode::kNotFound, HasSubstr("77")));
  ASSERT_OK_AND_ASSIGN(const auto table, replay_client_->GetTable("env"));
  EXPECT_EQ(table.rows_inserted(), 300u);
}

TEST_F(ActorTest, RefusesAReplayOfAnotherRun) {
  ASSERT_NO_FATAL_FAILURE(StartStores());
  config_.set_run_id("other");
  Hosted actor;
  ASSERT_NO_FATAL_FAILURE(StartActor(&actor));
  ASSERT_TRUE(
      AwaitStatus(actor, [](const auto& status) { return status.state == ComponentState::kUnhealthy; }));
  EXPECT_THAT(actor.component->Status().detail, HasSubstr("run"));
}

TEST_F(ActorTest, NeedsTheAddressesOfReplayAndSnapshot) {
  FillDefaults(&config_);
  HostedContext hosted;
  ASSERT_OK_AND_ASSIGN(hosted, MakeHostedContext(config_, "actor", "", metrics_.get(), nullptr, nullptr));
  EXPECT_THAT(MakeActorComponent(hosted.context),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("services.replay")));
}

}  // namespace
}  // namespace demorl
