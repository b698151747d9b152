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
#include "gmock/gmock.h"
#include "grpcpp/create_channel.h"
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
    ASSERT_OK_AND_ASSIGN(runner_, ServerRunner::Start({.address = listen_address_,
                                                       .run_id = "run",
                                                       .max_connection_age = max_connection_age_,
                                                       .connection_grace = max_connection_age_,
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

  std::shared_ptr<grpc::Channel> FreshChannel(const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(ServerAddress(), credentials, arguments);
  }

  // Replaces the certificates of the server and of the clients whose folder is `client`, and their authority,
  // in the steps that docs/security.md names: everybody trusts both, then shows the new one, then forgets the
  // old one. Returns when the server has read the last.
  void ReplaceCertificates(const std::string& client, const std::string& client_role, TestAuthority& next) {
    const std::string both = authority_.certificate() + next.certificate();
    const TestAuthority::Issued old_server = authority_.IssueRole("replay"),
                                new_server = next.IssueRole("replay");
    const TestAuthority::Issued old_client = authority_.IssueRole(client_role),
                                new_client = next.IssueRole(client_role);
    // Whether a handshake with these comes about says what the server has read by now.
    const auto until = [&](absl::StatusCode code, const TestAuthority::Issued& identity,
                           const TestAuthority& trusted) {
      const auto call = [&] {
        return GetStatus(FreshChannel(grpc::SslCredentials({.pem_root_certs = trusted.certificate(),
                                                            .pem_private_key = identity.key,
                                                            .pem_cert_chain = identity.certificate})));
      };
      EXPECT_THAT(Until(code, call), StatusIs(code, ::testing::_));
    };
    // A client has no door at which one could ask; longer than it takes to look for new files.
    constexpr absl::Duration kClientReads = absl::Milliseconds(1500);
    constexpr auto kOk = absl::StatusCode::kOk, kUnavailable = absl::StatusCode::kUnavailable;
    WriteTlsDir(folder_ / "server", old_server, both);
    WriteTlsDir(folder_ / client, old_client, both);
    until(kOk, new_client, authority_);
    absl::SleepFor(kClientReads);
    WriteTlsDir(folder_ / "server", new_server, both);
    until(kOk, old_client, next);
    WriteTlsDir(folder_ / client, new_client, both);
    absl::SleepFor(kClientReads);
    WriteTlsDir(folder_ / "server", new_server, next.certificate());
    WriteTlsDir(folder_ / client, new_client, next.certificate());
    until(kUnavailable, old_client, next);
    until(kOk, new_client, next);
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
  std::string listen_address_ = "127.0.0.1:0";
  SecurityConfig server_config_;
  demorl::config::v1::ServerLimits limits_;
  absl::Duration max_connection_age_ = absl::ZeroDuration();
  std::unique_ptr<TransportSecurity> server_security_;
  const std::unique_ptr<Metrics> metrics_ = MakeLocalMetrics();
  std::unique_ptr<IdleComponent> component_;
  std::unique_ptr<ServerRunner> runner_;
  std::vector<std::unique_ptr<TransportSecurity>> clients_;
};

}  // namespace demorl::testing
