#include "services/actor/evaluation_service.h"

#include <cmath>
#include <limits>

#include "absl/synchronization/notification.h"
#include "common/rpc/grpc_status.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_environment.h"
#include "tests/fakes/fake_planner.h"
#include "tests/fakes/policies.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::evaluation::v1::EvaluateRequest;
using ::demorl::evaluation::v1::EvaluateResponse;
using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

class EvaluationServiceTest : public ::testing::Test {
 protected:
  explicit EvaluationServiceTest(const FakeEnvironmentOptions& fake = {}, const PlannerSource& planners = {})
      : queue_([fake](uint64_t seed) { return std::make_unique<FakeEnvironment>(fake, seed); }, 1),
        service_(
            {.run_id = "run", .environment_id = "Fake-v0", .planners = planners},
            [this](uint64_t version) { return Find(version); }, &queue_, &metrics_) {
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    stub_ = demorl::evaluation::v1::EvaluationService::NewStub(server_->InProcessChannel({}));
  }
  ~EvaluationServiceTest() override {
    queue_.Close();
    server_->Shutdown();
  }

  static absl::StatusOr<std::shared_ptr<const EvaluationService::Policy>> Find(uint64_t version) {
    if (version > 1) {
      return absl::NotFoundError("no policy 7");
    }
    return std::make_shared<EvaluationService::Policy>(
        EvaluationService::Policy{.version = 1, .tensors = ConstantPolicy(3, 2, 0.5f)});
  }
  static EvaluateRequest Request() {
    EvaluateRequest request;
    request.set_run_id("run");
    request.set_policy_version(0);
    request.set_num_episodes(5);
    return request;
  }
  absl::StatusOr<EvaluateResponse> Evaluate(const EvaluateRequest& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    EvaluateResponse response;
    const absl::Status status = FromGrpcStatus(stub_->Evaluate(&context, request, &response));
    return status.ok() ? absl::StatusOr<EvaluateResponse>(response) : status;
  }

  std::unique_ptr<Metrics> registry_ = MakeLocalMetrics();
  ActorMetrics metrics_{*registry_};
  EvaluationQueue queue_;
  EvaluationService service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<demorl::evaluation::v1::EvaluationService::Stub> stub_;
};

TEST_F(EvaluationServiceTest, EvaluatesTheCurrentPolicy) {
  EXPECT_TRUE(std::isnan(metrics_.evaluation_return.Value()));
  ASSERT_OK_AND_ASSIGN(const EvaluateResponse response, Evaluate(Request()));
  ASSERT_EQ(response.returns_size(), 5);
  EXPECT_NEAR(response.returns(4), 7 * std::tanh(0.5), 1e-5);
  EXPECT_EQ(response.lengths(0), 7u);
  EXPECT_TRUE(response.terminated(0));
  EXPECT_EQ(response.policy_version(), 1u);
  EXPECT_EQ(response.observation_count(), 40u);
  EXPECT_EQ(response.observation_sum_size(), 3);
  EXPECT_EQ(response.observation_sum_squares(1), 5 * 140);
  EXPECT_EQ(metrics_.evaluations.Value(), 1);
  EXPECT_NEAR(metrics_.evaluation_return.Value(), 7 * std::tanh(0.5), 1e-5);
}

TEST_F(EvaluationServiceTest, EvaluatesAPolicySentAlong) {
  EvaluateRequest request = Request();
  request.set_policy_payload(EncodeSafetensors(ConstantPolicy(3, 2, -0.5f)));
  request.set_max_episode_steps(3);
  ASSERT_OK_AND_ASSIGN(const EvaluateResponse response, Evaluate(request));
  EXPECT_NEAR(response.returns(0), -3 * std::tanh(0.5), 1e-5);
  EXPECT_EQ(response.policy_version(), 0u);
  EXPECT_FALSE(response.terminated(0));
}

TEST_F(EvaluationServiceTest, RefusesRequestsThatItCannotServe) {
  EvaluateRequest request = Request();
  request.set_run_id("other");
  EXPECT_THAT(Evaluate(request), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("'other'")));
  request = Request();
  request.set_num_episodes(0);
  EXPECT_THAT(Evaluate(request), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("num_episodes")));
  request = Request();
  request.set_max_episode_steps(std::numeric_limits<uint32_t>::max());
  EXPECT_THAT(Evaluate(request), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("max_episode_")));
  request = Request();
  request.set_policy_version(7);
  EXPECT_THAT(Evaluate(request), StatusIs(absl::StatusCode::kNotFound, HasSubstr("no policy 7")));
  request.set_policy_payload("garbage");
  EXPECT_THAT(Evaluate(request), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("safetensors")));
  request.set_policy_payload(EncodeSafetensors(ConstantPolicy(9, 2, -0.5f)));
  EXPECT_THAT(Evaluate(request), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("expected")));
  EXPECT_EQ(metrics_.evaluations.Value(), 0);
}

TEST_F(EvaluationServiceTest, RefusesToPlanWhereTheActorsFollowThePolicy) {
  EvaluateRequest request = Request();
  request.set_planned(true);
  EXPECT_THAT(Evaluate(request), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("planner.sink")));
}

class PlannedEvaluationTest : public EvaluationServiceTest {
 protected:
  PlannedEvaluationTest() : EvaluationServiceTest({}, FakePlanners(Script())) {}

  static std::shared_ptr<FakePlannerScript> Script() {
    auto script = std::make_shared<FakePlannerScript>();
    script->answer = {.action = {0.25F, 0}};
    return script;
  }
};

TEST_F(PlannedEvaluationTest, PlansWhenAskedToAndFollowsThePolicyOtherwise) {
  EvaluateRequest request = Request();
  request.set_planned(true);
  request.set_policy_version(7);  // unknown, and not looked at
  ASSERT_OK_AND_ASSIGN(const EvaluateResponse planned, Evaluate(request));
  EXPECT_EQ(planned.returns(0), 7 * 0.25);
  ASSERT_OK_AND_ASSIGN(const EvaluateResponse followed, Evaluate(Request()));
  EXPECT_NEAR(followed.returns(0), 7 * std::tanh(0.5), 1e-5);
}

class EndlessEvaluationTest : public EvaluationServiceTest {
 protected:
  EndlessEvaluationTest() : EvaluationServiceTest({.episode_steps = std::numeric_limits<int>::max()}) {}
};

TEST_F(EndlessEvaluationTest, StopsWhenTheCallerGoesAwayAndServesTheNextOne) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
  EvaluateResponse response;
  EXPECT_EQ(stub_->Evaluate(&context, Request(), &response).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
  EvaluateRequest request = Request();
  request.set_max_episode_steps(2);
  EXPECT_OK(Evaluate(request));
}

}  // namespace
}  // namespace demorl
