#pragma once

#include <unistd.h>

#include <filesystem>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/file_io.h"
#include "common/metrics/metrics.h"
#include "common/rpc/channel_factory.h"
#include "common/rpc/grpc_status.h"
#include "common/rpc/server_runner.h"
#include "demorl/control/v1/control_service.grpc.pb.h"
#include "gtest/gtest.h"
#include "spdlog/sinks/ostream_sink.h"
#include "spdlog/spdlog.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/test_authority.h"

namespace demorl::testing {

// What the log says while it lives.
class CapturedLog {
 public:
  CapturedLog() : before_(spdlog::default_logger()) {
    spdlog::set_default_logger(std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text_, /*force_flush=*/true)));
  }
  ~CapturedLog() { spdlog::set_default_logger(before_); }
  // Not while others write.
  std::string Text() const { return text_.str(); }

 private:
  std::ostringstream text_;
  std::shared_ptr<spdlog::logger> before_;
};

// A component without work of its own: behind it are control, health and reflection.
class IdleComponent final : public ServiceComponent {
 public:
  explicit IdleComponent(std::vector<grpc::Service*> services = {}) : services_(std::move(services)) {}
  absl::string_view name() const override { return "idle"; }
  std::vector<grpc::Service*> rpc_services() override { return services_; }
  absl::Status Start() override { return absl::OkStatus(); }
  ComponentStatus Status() const override { return {.state = ComponentState::kRunning}; }
  absl::Status Pause() override { return absl::OkStatus(); }
  absl::Status Resume() override { return absl::OkStatus(); }
  absl::StatusOr<std::string> Checkpoint() override { return std::string(); }
  absl::Status Drain(absl::Time) override { return absl::OkStatus(); }

 private:
  const std::vector<grpc::Service*> services_;
};

// A server over TLS and its clients, with an authority of their own.
class SecureServerTest : public ::testing::Test {
 protected:
  using SecurityConfig = demorl::config::v1::SecurityConfig;

  SecureServerTest() {
    std::filesystem::remove_all(folder_);
    WriteTlsDir(folder_ / "server", authority_.IssueRole("replay/replay-0"), authority_.certificate());
    server_config_.set_tls_dir((folder_ / "server").string());
  }
  ~SecureServerTest() override {
    runner_.reset();
    std::filesystem::remove_all(folder_);
  }

  void StartServer(const std::vector<grpc::Service*>& services = {}) {
    runner_.reset();
    component_ = std::make_unique<IdleComponent>(services);
    StartServer(component_.get());
  }
  void StartServer(ServiceComponent* component) {
    runner_.reset();
    ASSERT_OK_AND_ASSIGN(server_security_, TransportSecurity::Create(server_config_));
    ASSERT_OK_AND_ASSIGN(runner_, ServerRunner::Start({.address = "127.0.0.1:0",
                                                       .run_id = "run",
                                                       .metrics = metrics_.get(),
                                                       .security = server_security_.get(),
                                                       .limits = limits_},
                                                      component));
  }

  std::string ServerAddress() const { return absl::StrCat("127.0.0.1:", runner_->port()); }

  // Security of a client with this certificate; its folder is `name`.
  TransportSecurity* Client(const std::string& name, const TestAuthority::Issued& issued) {
    WriteTlsDir(folder_ / name, issued, authority_.certificate());
    SecurityConfig config;
    config.set_tls_dir((folder_ / name).string());
    return Client(config);
  }
  TransportSecurity* Client(const SecurityConfig& config) {
    absl::StatusOr<std::unique_ptr<TransportSecurity>> security = TransportSecurity::Create(config);
    EXPECT_OK(security.status());
    clients_.push_back(*std::move(security));
    return clients_.back().get();
  }
  TransportSecurity* ClientOfRole(const std::string& role) {
    return Client(absl::StrCat("client_", clients_.size()), authority_.IssueRole(role));
  }

  std::shared_ptr<grpc::Channel> Dial(const TransportSecurity* client) {
    return MakeChannel(ServerAddress(), nullptr, client);
  }

  static absl::Status GetStatus(const std::shared_ptr<grpc::Channel>& channel) {
    const auto stub = demorl::control::v1::ControlService::NewStub(channel);
    grpc::ClientContext context;
    demorl::control::v1::GetStatusResponse response;
    return FromGrpcStatus(stub->GetStatus(&context, {}, &response));
  }
  static absl::Status Pause(const std::shared_ptr<grpc::Channel>& channel) {
    const auto stub = demorl::control::v1::ControlService::NewStub(channel);
    grpc::ClientContext context;
    demorl::control::v1::PauseResponse response;
    return FromGrpcStatus(stub->Pause(&context, {}, &response));
  }

  // Repeats what shows the state of files that are looked at once a second; its last answer.
  template <typename Call>
  static absl::Status Until(absl::StatusCode code, const Call& call) {
    absl::Status status;
    for (const absl::Time deadline = absl::Now() + absl::Seconds(30);
         status.code() != code && absl::Now() < deadline;) {
      status = call();
    }
    return status;
  }

  const std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) /
      absl::StrCat("secure_", ::getpid(), "_",
                   ::testing::UnitTest::GetInstance()->current_test_info()->name());
  TestAuthority authority_{"demorl test authority"};
  SecurityConfig server_config_;
  demorl::config::v1::ServerLimits limits_;
  std::unique_ptr<TransportSecurity> server_security_;
  const std::unique_ptr<Metrics> metrics_ = MakeLocalMetrics();
  std::unique_ptr<IdleComponent> component_;
  std::unique_ptr<ServerRunner> runner_;
  std::vector<std::unique_ptr<TransportSecurity>> clients_;
};

}  // namespace demorl::testing
