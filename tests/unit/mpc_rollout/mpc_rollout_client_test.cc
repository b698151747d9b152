#include "services/mpc_rollout/mpc_rollout_client.h"

#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "common/rpc/channel_factory.h"
#include "common/rpc/grpc_status.h"
#include "common/tensor/transition_codec.h"
#include "demorl/planning/v1/planning_service.grpc.pb.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::planning::v1::PlanRequest;
using ::demorl::planning::v1::PlanResponse;
using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

// Answers with twice the observation; ends streams with `end`, or keeps them waiting, when told to.
class FakePlanningService final : public demorl::planning::v1::PlanningService::Service {
 public:
  grpc::Status Plan(grpc::ServerContext* /*context*/,
                    grpc::ServerReaderWriter<PlanResponse, PlanRequest>* stream) override {
    {
      absl::MutexLock lock(&mutex_);
      ++num_streams_;
    }
    for (PlanRequest request; stream->Read(&request);) {
      PlanResponse response;
      {
        absl::MutexLock lock(&mutex_);
        requests_.push_back(request);
        mutex_.Await(absl::Condition(&answers_));
        if (!end_.ok()) {
          return ToGrpcStatus(end_);
        }
        if (std::exchange(cut_, false)) {
          return grpc::Status(grpc::StatusCode::UNAVAILABLE, "the connection is old");
        }
      }
      std::vector<float> action = *DecodeFloats(request.observation());
      for (float& value : action) {
        value *= 2;
      }
      response.set_actions(EncodeFloats(action));
      response.set_policy_version(7);
      stream->Write(response);
    }
    return grpc::Status::OK;
  }

  void SetAnswers(bool answers) {
    absl::MutexLock lock(&mutex_);
    answers_ = answers;
  }
  void SetEnd(const absl::Status& end) {
    absl::MutexLock lock(&mutex_);
    end_ = end;
  }
  void CutNextStream() {
    absl::MutexLock lock(&mutex_);
    cut_ = true;
  }
  // Blocks until as many requests have come.
  void AwaitRequests(size_t count) {
    const auto there = [this, count] { return requests_.size() >= count; };
    absl::MutexLock lock(&mutex_);
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&there), absl::Seconds(30)));
  }
  std::vector<PlanRequest> requests() {
    absl::MutexLock lock(&mutex_);
    return requests_;
  }
  int num_streams() {
    absl::MutexLock lock(&mutex_);
    return num_streams_;
  }

 private:
  absl::Mutex mutex_;
  std::vector<PlanRequest> requests_;
  int num_streams_ = 0;
  bool answers_ = true;
  bool cut_ = false;
  absl::Status end_;
};

class MpcRolloutClientTest : public ::testing::Test {
 protected:
  MpcRolloutClientTest() {
    grpc::ServerBuilder builder;
    builder.RegisterService(&service_);
    // Not in process: such a channel must not outlive its server.
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    server_ = builder.BuildAndStart();
  }
  ~MpcRolloutClientTest() override {
    service_.SetAnswers(true);
    server_->Shutdown(std::chrono::system_clock::now());
  }

  MpcRolloutClient MakeClient(absl::Duration plan_timeout = absl::Seconds(30)) {
    return MpcRolloutClient(MakeChannel(absl::StrCat("127.0.0.1:", port_)),
                            {.run_id = "run", .schema_hash = "0123", .plan_timeout = plan_timeout});
  }

  const std::vector<float> observation_ = {0.25F, -0.5F};
  const PlanningState state_{.observation = observation_};
  FakePlanningService service_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

TEST_F(MpcRolloutClientTest, AsksForAllItsPlansOverOneStream) {
  MpcRolloutClient client = MakeClient();
  const std::unique_ptr<OnlinePlanner> planner = client.OpenPlanner();
  ASSERT_OK_AND_ASSIGN(
      const PlannedAction first,
      planner->Plan({.observation = observation_, .first_step = true, .simulator_state = "state"}));
  EXPECT_EQ(first.action, (std::vector<float>{0.5F, -1.0F}));
  EXPECT_EQ(first.policy_version, 7);
  EXPECT_FALSE(first.fallback);
  ASSERT_OK(planner->Plan(state_));
  EXPECT_EQ(service_.num_streams(), 1);
  const std::vector<PlanRequest> requests = service_.requests();
  ASSERT_EQ(requests.size(), 2);
  EXPECT_EQ(requests[0].run_id(), "run");
  EXPECT_EQ(requests[0].schema_hash(), "0123");
  EXPECT_TRUE(requests[0].first_step());
  EXPECT_EQ(requests[0].simulator_state(), "state");
  EXPECT_FALSE(requests[0].has_time_budget());
  EXPECT_FALSE(requests[1].first_step());
}

TEST_F(MpcRolloutClientTest, TellsWhyThePlannerEndedTheStreamAndAsksOverANewOne) {
  MpcRolloutClient client = MakeClient();
  const std::unique_ptr<OnlinePlanner> planner = client.OpenPlanner();
  ASSERT_OK(planner->Plan(state_));
  service_.SetEnd(absl::UnavailableError("no model yet"));
  EXPECT_THAT(planner->Plan(state_), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("no model yet")));
  service_.SetEnd(absl::FailedPreconditionError("another run"));
  EXPECT_THAT(planner->Plan(state_), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("another")));
  service_.SetEnd(absl::OkStatus());
  ASSERT_OK(planner->Plan(state_));
  EXPECT_EQ(service_.num_streams(),
            6);  // the first failure came over a stream that had worked: 3 more attempts
}

TEST_F(MpcRolloutClientTest, AsksOverANewStreamWhenOneThatWorkedWasCut) {
  MpcRolloutClient client = MakeClient();
  const std::unique_ptr<OnlinePlanner> planner = client.OpenPlanner();
  ASSERT_OK(planner->Plan(state_));
  service_.CutNextStream();
  ASSERT_OK(planner->Plan(state_));
  EXPECT_EQ(service_.num_streams(), 2);
}

TEST_F(MpcRolloutClientTest, ReportsAPlannerThatIsNotThere) {
  MpcRolloutClient client = MakeClient();
  const std::unique_ptr<OnlinePlanner> planner = client.OpenPlanner();
  ASSERT_OK(planner->Plan(state_));
  server_->Shutdown(std::chrono::system_clock::now());
  EXPECT_FALSE(planner->Plan(state_).ok());  // of the stream that has ended
  EXPECT_THAT(planner->Plan(state_), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("")));
}

TEST_F(MpcRolloutClientTest, GivesAPlanUpThatTakesTooLong) {
  MpcRolloutClient client = MakeClient(absl::Milliseconds(20));
  const std::unique_ptr<OnlinePlanner> planner = client.OpenPlanner();
  service_.SetAnswers(false);
  EXPECT_THAT(planner->Plan(state_), StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("20ms")));
}

TEST_F(MpcRolloutClientTest, ClosingEndsThePlanUnderWayAndRefusesLaterOnes) {
  MpcRolloutClient client = MakeClient();
  const std::unique_ptr<OnlinePlanner> planner = client.OpenPlanner();
  service_.SetAnswers(false);
  absl::Notification ended;
  std::thread closer([&] {
    service_.AwaitRequests(1);
    client.Close();
    EXPECT_TRUE(ended.WaitForNotificationWithTimeout(absl::Seconds(10))) << "closing does not wake the plan";
  });
  EXPECT_THAT(planner->Plan(state_), StatusIs(absl::StatusCode::kCancelled, HasSubstr("closed")));
  ended.Notify();
  closer.join();
  EXPECT_THAT(planner->Plan(state_), StatusIs(absl::StatusCode::kCancelled, HasSubstr("closed")));
}

TEST_F(MpcRolloutClientTest, PlannersOfOneClientPlanSideBySide) {
  MpcRolloutClient client = MakeClient();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&client, i] {
      const std::unique_ptr<OnlinePlanner> planner = client.OpenPlanner();
      const std::vector<float> observation = {static_cast<float>(i)};
      for (int step = 0; step < 50; ++step) {
        ASSERT_OK_AND_ASSIGN(const PlannedAction planned, planner->Plan({.observation = observation}));
        EXPECT_EQ(planned.action, std::vector<float>{2.0F * static_cast<float>(i)});
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(service_.num_streams(), 4);
}

}  // namespace
}  // namespace demorl
