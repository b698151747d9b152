#include "common/rpc/health_check.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "common/rpc/server_runner.h"
#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(10);

class FakeComponent final : public ServiceComponent {
 public:
  absl::string_view name() const override { return "fake"; }
  std::vector<grpc::Service*> rpc_services() override { return {}; }
  absl::Status Start() override { return absl::OkStatus(); }
  ComponentStatus Status() const override {
    absl::MutexLock lock(&mutex_);
    return status_;
  }
  absl::Status Pause() override { return absl::OkStatus(); }
  absl::Status Resume() override { return absl::OkStatus(); }
  absl::StatusOr<std::string> Checkpoint() override { return ""; }
  absl::Status Drain(absl::Time) override { return absl::OkStatus(); }

  void SetState(ComponentState state) {
    absl::MutexLock lock(&mutex_);
    status_.state = state;
  }

 private:
  mutable absl::Mutex mutex_;
  ComponentStatus status_{.state = ComponentState::kRunning};
};

class HealthCheckTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ServerOptions options{.address = "127.0.0.1:0", .run_id = "run"};
    ASSERT_OK_AND_ASSIGN(runner_, ServerRunner::Start(options, &component_));
    address_ = absl::StrCat("127.0.0.1:", runner_->port());
  }

  FakeComponent component_;
  std::unique_ptr<ServerRunner> runner_;
  std::string address_;
};

TEST_F(HealthCheckTest, AServiceThatRunsIsReadyAndAlive) {
  EXPECT_OK(CheckHealth(address_, "readiness", kPatience));
  EXPECT_OK(CheckHealth(address_, "liveness", kPatience));
}

TEST_F(HealthCheckTest, AServiceThatIsUnhealthyIsNotServing) {
  component_.SetState(ComponentState::kUnhealthy);
  absl::Status status;
  do {  // the server asks its component from time to time
    status = CheckHealth(address_, "readiness", kPatience);
  } while (status.ok());
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is not serving")));
}

TEST_F(HealthCheckTest, ANameThatNobodyServesIsNotFound) {
  EXPECT_THAT(CheckHealth(address_, "no such service", kPatience),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("'no such service'")));
}

TEST_F(HealthCheckTest, NobodyListeningIsUnavailable) {
  runner_.reset();
  EXPECT_THAT(CheckHealth(address_, "readiness", kPatience),
              StatusIs(absl::StatusCode::kUnavailable, HasSubstr(address_)));
}

}  // namespace
}  // namespace demorl
