#include "services/mpc_rollout/planning_service.h"

#include <chrono>
#include <cmath>
#include <memory>
#include <vector>

#include "common/rpc/grpc_status.h"
#include "common/tensor/transition_codec.h"
#include "gmock/gmock.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "services/mpc_rollout/mpc_rollout_client.h"
#include "tests/fakes/policies.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/mpc_rollout/mpc_rollout_fixture.h"

namespace demorl::testing {
namespace {

using ::demorl::planning::v1::PlanningService;
using ::demorl::planning::v1::PlanRequest;
using ::demorl::planning::v1::PlanResponse;
using ::testing::Each;
using ::testing::FloatNear;
using ::testing::HasSubstr;

class PlanningServiceTest : public MpcRolloutTest {
 protected:
  PlanningServiceTest()
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

  ~PlanningServiceTest() override { server_->Shutdown(std::chrono::system_clock::now()); }

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

TEST_F(PlanningServiceTest, AnswersInOrderWithThePolicyUntilThereIsAModel) {
  policy_.Publish(5, ConstantPolicy(kObservations, kActions, 0.2F));
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

TEST_F(PlanningServiceTest, ABudgetThatCannotBeMetIsAnsweredByThePolicy) {
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

TEST_F(PlanningServiceTest, RefusesAnotherRunSchemaOrShape) {
  policy_.Publish(5, ConstantPolicy(kObservations, kActions, 0.2F));
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

TEST_F(PlanningServiceTest, WithoutABudgetACallerWaitsForAModelInsteadOfFollowingThePolicy) {
  policy_.Publish(5, ConstantPolicy(kObservations, kActions, 0.2F));
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

TEST_F(PlanningServiceTest, ClosingEndsIdleStreams) {
  policy_.Publish(5, ConstantPolicy(kObservations, kActions, 0.2F));
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
}  // namespace demorl::testing
