#include "common/rpc/server_runner.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "common/rpc/channel_factory.h"
#include "common/rpc/grpc_status.h"
#include "demorl/control/v1/control_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/platform/health_probe.h"

namespace demorl {
namespace {

namespace control = ::demorl::control::v1;
using ::demorl::testing::CallStatus;
using ::demorl::testing::HealthOf;
using ::demorl::testing::kNotServing;
using ::demorl::testing::kServing;
using ::demorl::testing::StatusIs;
using ::testing::_;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class FakeComponent final : public ServiceComponent {
 public:
  absl::string_view name() const override { return "fake"; }
  std::vector<grpc::Service*> rpc_services() override { return {}; }
  absl::Status Start() override {
    Record("start");
    return start_status;
  }
  ComponentStatus Status() const override {
    absl::MutexLock lock(&mutex_);
    return status_;
  }
  absl::Status Pause() override {
    Record("pause");
    return absl::OkStatus();
  }
  absl::Status Resume() override {
    Record("resume");
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> Checkpoint() override { return checkpoint; }
  absl::Status Drain(absl::Time) override {
    Record("drain");
    if (on_drain) {
      on_drain();
    }
    return drain_status;
  }

  void Set(ComponentState state, const std::string& detail = "") {
    absl::MutexLock lock(&mutex_);
    status_ = {.state = state, .detail = detail, .figures = {{"rows", 3.0}}};
  }
  std::vector<std::string> calls() const {
    absl::MutexLock lock(&mutex_);
    return calls_;
  }

  absl::Status start_status;
  absl::Status drain_status;
  absl::StatusOr<std::string> checkpoint = std::string("checkpoints/1");
  std::function<void()> on_drain;

 private:
  void Record(const std::string& call) {
    absl::MutexLock lock(&mutex_);
    calls_.push_back(call);
  }

  mutable absl::Mutex mutex_;
  ComponentStatus status_ = {.state = ComponentState::kRunning};
  std::vector<std::string> calls_;
};

class ServerRunnerTest : public ::testing::Test {
 protected:
  void StartRunner(const std::string& address = "") {
    ASSERT_OK_AND_ASSIGN(
        runner_,
        ServerRunner::Start({.address = address, .run_id = "run", .metrics = metrics_.get()}, &component_));
    channel_ = runner_->InProcessChannel();
    control_ = control::ControlService::NewStub(channel_);
  }

  // The health answer may lag behind the component by a period.
  bool HealthBecomes(const std::string& service, int expected) {
    const absl::Time deadline = absl::Now() + absl::Seconds(10);
    while (HealthOf(channel_, service) != expected) {
      if (absl::Now() > deadline) {
        return false;
      }
    }
    return true;
  }

  double StateMetric(const std::string& state) {
    return metrics_->GetGauge("demorl_service_state", "", {{"service", "fake"}, {"state", state}}).Value();
  }

  const std::unique_ptr<Metrics> metrics_ = MakeLocalMetrics();
  FakeComponent component_;
  std::unique_ptr<ServerRunner> runner_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<control::ControlService::Stub> control_;
};

TEST_F(ServerRunnerTest, HealthFollowsTheComponent) {
  component_.Set(ComponentState::kStarting);
  StartRunner();
  EXPECT_EQ(HealthOf(channel_, "liveness"), kServing);
  EXPECT_EQ(HealthOf(channel_, "readiness"), kNotServing);
  EXPECT_EQ(HealthOf(channel_, ""), kNotServing);
  component_.Set(ComponentState::kRunning);
  EXPECT_TRUE(HealthBecomes("readiness", kServing));
  EXPECT_EQ(HealthOf(channel_, ""), kServing);
  component_.Set(ComponentState::kUnhealthy);
  EXPECT_TRUE(HealthBecomes("liveness", kNotServing));
  EXPECT_TRUE(HealthBecomes("readiness", kNotServing));
}

TEST_F(ServerRunnerTest, MetricsTellTheComponentsState) {
  component_.Set(ComponentState::kPaused);
  StartRunner();
  EXPECT_EQ(StateMetric("paused"), 1);
  EXPECT_EQ(StateMetric("starting"), 0);
  EXPECT_OK(runner_->Shutdown());
  EXPECT_EQ(StateMetric("draining"), 1);
  EXPECT_EQ(StateMetric("paused"), 0);
}

TEST_F(ServerRunnerTest, StatusTellsWhatTheComponentSays) {
  component_.Set(ComponentState::kPaused, std::string(5 << 20, 'x'));
  StartRunner();
  grpc::ClientContext context;
  control::GetStatusResponse response;
  ASSERT_OK(FromGrpcStatus(control_->GetStatus(&context, {}, &response)));
  EXPECT_EQ(response.service(), "fake");
  EXPECT_EQ(response.run_id(), "run");
  EXPECT_EQ(response.state(), control::SERVICE_STATE_PAUSED);
  EXPECT_EQ(response.detail().size(), 5 << 20) << "larger than gRPC's own limit of 4 MiB";
  EXPECT_EQ(response.figures().at("rows"), 3);
  EXPECT_FALSE(response.revision().empty());
}

TEST_F(ServerRunnerTest, ControlCallsReachTheComponent) {
  StartRunner();
  grpc::ClientContext contexts[4];
  control::PauseResponse paused;
  control::ResumeResponse resumed;
  control::CheckpointResponse checkpoint;
  ASSERT_OK(FromGrpcStatus(control_->Pause(&contexts[0], {}, &paused)));
  ASSERT_OK(FromGrpcStatus(control_->Resume(&contexts[1], {}, &resumed)));
  ASSERT_OK(FromGrpcStatus(control_->Checkpoint(&contexts[2], {}, &checkpoint)));
  EXPECT_EQ(checkpoint.path(), "checkpoints/1");
  component_.checkpoint = absl::ResourceExhaustedError("disk full");
  EXPECT_THAT(FromGrpcStatus(control_->Checkpoint(&contexts[3], {}, &checkpoint)),
              StatusIs(absl::StatusCode::kResourceExhausted, "disk full"));
  EXPECT_THAT(component_.calls(), ElementsAre("start", "pause", "resume"));
}

TEST_F(ServerRunnerTest, CountsCallsByMethodAndStatusOnBothSides) {
  const std::unique_ptr<Metrics> server_metrics = MakeLocalMetrics(), client_metrics = MakeLocalMetrics();
  ASSERT_OK_AND_ASSIGN(
      runner_,
      ServerRunner::Start({.address = "127.0.0.1:0", .run_id = "run", .metrics = server_metrics.get()},
                          &component_));
  const auto stub = control::ControlService::NewStub(
      MakeChannel(absl::StrCat("127.0.0.1:", runner_->port()), client_metrics.get()));
  grpc::ClientContext contexts[3];
  control::PauseResponse paused;
  control::CheckpointResponse checkpoint;
  ASSERT_OK(FromGrpcStatus(stub->Pause(&contexts[0], {}, &paused)));
  ASSERT_OK(FromGrpcStatus(stub->Pause(&contexts[1], {}, &paused)));
  component_.checkpoint = absl::ResourceExhaustedError("disk full");
  EXPECT_FALSE(stub->Checkpoint(&contexts[2], {}, &checkpoint).ok());
  // The server's side counts when it sends a status, which the client may have before.
  ASSERT_OK(runner_->Shutdown());
  for (const auto& [metrics, prefix] :
       {std::pair(server_metrics.get(), "grpc_server"), std::pair(client_metrics.get(), "grpc_client")}) {
    const auto count = [metrics = metrics, prefix = prefix](const char* what, MetricLabels labels) {
      labels["grpc_service"] = "demorl.control.v1.ControlService";
      return metrics->GetCounter(absl::StrCat(prefix, what), "", labels).Value();
    };
    EXPECT_EQ(count("_started_total", {{"grpc_method", "Pause"}}), 2);
    EXPECT_EQ(count("_handled_total", {{"grpc_method", "Pause"}, {"grpc_code", "OK"}}), 2);
    EXPECT_EQ(count("_started_total", {{"grpc_method", "Checkpoint"}}), 1);
    EXPECT_EQ(count("_handled_total", {{"grpc_method", "Checkpoint"}, {"grpc_code", "OK"}}), 0);
    EXPECT_EQ(count("_handled_total", {{"grpc_method", "Checkpoint"}, {"grpc_code", "RESOURCE_EXHAUSTED"}}),
              1);
  }
}

TEST_F(ServerRunnerTest, ReadinessGoesBeforeTheComponentDrainsAndTheServerAnswersMeanwhile) {
  StartRunner();
  int readiness = 0;
  int liveness = 0;
  component_.on_drain = [&] {
    readiness = HealthOf(channel_, "readiness");
    liveness = HealthOf(channel_, "liveness");
  };
  EXPECT_OK(runner_->Shutdown());
  EXPECT_OK(runner_->Shutdown());
  EXPECT_EQ(readiness, kNotServing);
  EXPECT_EQ(liveness, kServing);
  EXPECT_THAT(component_.calls(), ElementsAre("start", "drain"));
}

TEST_F(ServerRunnerTest, ADrainCallEndsTheWait) {
  // Over a socket: in the process, gRPC may drop the last answer of a server that ends.
  StartRunner("127.0.0.1:0");
  control_ = control::ControlService::NewStub(MakeChannel(absl::StrCat("127.0.0.1:", runner_->port())));
  std::thread operator_thread([this] {
    grpc::ClientContext context;
    control::DrainResponse response;
    EXPECT_OK(FromGrpcStatus(control_->Drain(&context, {}, &response)));
  });
  EXPECT_EQ(runner_->WaitForShutdown(), 0);
  operator_thread.join();
  EXPECT_THAT(component_.calls(), ElementsAre("start", "drain"));
}

TEST_F(ServerRunnerTest, WorkLeftBehindShowsInTheExitStatus) {
  component_.drain_status = absl::DeadlineExceededError("2 chunks not durable");
  StartRunner();
  grpc::ClientContext context;
  control::DrainResponse response;
  EXPECT_OK(FromGrpcStatus(control_->Drain(&context, {}, &response)));
  EXPECT_EQ(runner_->WaitForShutdown(), 1);
}

TEST(ServerRunnerDeathTest, ASecondSignalEndsADrainThatHangs) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto serve = [] {
    BlockShutdownSignals();
    FakeComponent component;
    component.on_drain = [] {
      while (true) {  // as a person does who is tired of waiting
        ::kill(::getpid(), SIGINT);
        absl::SleepFor(absl::Milliseconds(50));
      }
    };
    const auto runner = ServerRunner::Start({}, &component);
    ::kill(::getpid(), SIGTERM);
    std::_Exit((*runner)->WaitForShutdown());
  };
  EXPECT_EXIT(serve(), ::testing::ExitedWithCode(128 + SIGINT), "");
}

TEST_F(ServerRunnerTest, APortInUseIsNamed) {
  StartRunner("127.0.0.1:0");
  const std::string address = absl::StrCat("127.0.0.1:", runner_->port());
  FakeComponent other;
  EXPECT_THAT(ServerRunner::Start({.address = address}, &other),
              StatusIs(absl::StatusCode::kUnavailable, AllOf(HasSubstr("fake"), HasSubstr(address))));
  EXPECT_THAT(other.calls(), ElementsAre());
}

TEST_F(ServerRunnerTest, IsReachedOverItsPort) {
  StartRunner("127.0.0.1:0");
  EXPECT_EQ(HealthOf(MakeChannel(absl::StrCat("127.0.0.1:", runner_->port())), "liveness"), kServing);
}

TEST_F(ServerRunnerTest, ItsHealthPortServesHealthAlone) {
  ASSERT_OK_AND_ASSIGN(runner_,
                       ServerRunner::Start({.health_address = "127.0.0.1:0", .run_id = "run"}, &component_));
  EXPECT_EQ(runner_->port(), 0);
  const auto probe = MakeChannel(absl::StrCat("127.0.0.1:", runner_->health_port()));
  EXPECT_EQ(HealthOf(probe, "readiness"), kServing);
  EXPECT_EQ(HealthOf(probe, ""), kServing);
  for (const char* method : {"/demorl.control.v1.ControlService/Drain",
                             "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"}) {
    EXPECT_THAT(CallStatus(probe, method), StatusIs(absl::StatusCode::kUnimplemented, _)) << method;
  }
  int readiness = 0;
  int liveness = 0;
  component_.on_drain = [&] {
    readiness = HealthOf(probe, "readiness");
    liveness = HealthOf(probe, "liveness");
  };
  EXPECT_OK(runner_->Shutdown());
  EXPECT_EQ(readiness, kNotServing);
  EXPECT_EQ(liveness, kServing);
}

TEST_F(ServerRunnerTest, AHealthPortInUseIsNamed) {
  StartRunner("127.0.0.1:0");
  const std::string address = absl::StrCat("127.0.0.1:", runner_->port());
  FakeComponent other;
  EXPECT_THAT(ServerRunner::Start({.health_address = address}, &other),
              StatusIs(absl::StatusCode::kUnavailable, AllOf(HasSubstr("health"), HasSubstr(address))));
  EXPECT_THAT(other.calls(), ElementsAre());
}

TEST_F(ServerRunnerTest, AComponentThatDoesNotStartIsReported) {
  component_.start_status = absl::DataLossError("store is damaged");
  EXPECT_THAT(ServerRunner::Start({}, &component_),
              StatusIs(absl::StatusCode::kDataLoss, "store is damaged"));
}

TEST(GrpcStatusTest, CodeAndMessageSurviveBothWays) {
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), "why");
    EXPECT_EQ(FromGrpcStatus(ToGrpcStatus(status)), status);
  }
  EXPECT_OK(FromGrpcStatus(ToGrpcStatus(absl::OkStatus())));
}

}  // namespace
}  // namespace demorl
