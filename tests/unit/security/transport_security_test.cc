#include "common/rpc/security/transport_security.h"

#include <atomic>
#include <cstdlib>
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/rpc/security/certificate.h"
#include "common/rpc/security/file_watch.h"
#include "common/rpc/security/revocation_lists.h"
#include "common/rpc/security/token_credentials.h"
#include "demorl/gateway/v1/gateway_service.grpc.pb.h"
#include "gmock/gmock.h"
#include "grpcpp/create_channel.h"
#include "tests/testing/secure_server.h"

namespace demorl {
namespace {

using ::demorl::testing::CapturedLog;
using ::demorl::testing::SecureServerTest;
using ::demorl::testing::StatusIs;
using ::demorl::testing::TestAuthority;
using ::demorl::testing::WriteTlsDir;
using ::testing::_;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr auto kUnauthenticated = absl::StatusCode::kUnauthenticated;
constexpr auto kUnavailable = absl::StatusCode::kUnavailable;
constexpr auto kPermissionDenied = absl::StatusCode::kPermissionDenied;

class TransportSecurityTest : public SecureServerTest {
 protected:
  struct Refusal {
    absl::Status status;
    // Of both sides: they are one process here.
    std::string log;
  };
  // With gRPC's own credentials: ours would refuse to start with some of these certificates.
  Refusal CallWith(const TestAuthority::Issued& issued) { return CallWith(issued, authority_); }
  Refusal CallWith(const TestAuthority::Issued& issued, const TestAuthority& trusted) {
    const CapturedLog log;
    const absl::Status status = GetStatus(
        grpc::CreateChannel(ServerAddress(), grpc::SslCredentials({.pem_root_certs = trusted.certificate(),
                                                                   .pem_private_key = issued.key,
                                                                   .pem_cert_chain = issued.certificate})));
    EXPECT_OK(runner_->Shutdown());  // the server's side of a handshake may end after the client's
    return {status, log.Text()};
  }

  absl::Status StartWith(const SecurityConfig& config, const std::string& address) {
    absl::StatusOr<std::unique_ptr<TransportSecurity>> security = TransportSecurity::Create(config);
    return security.ok() ? (*security)->ForServer(address, 0, nullptr).status() : security.status();
  }
};

TEST_F(TransportSecurityTest, ARoleMayWhatItIsGrantedAndNoMore) {
  StartServer();
  const auto viewer = Dial(ClientOfRole("viewer/desk"));
  EXPECT_OK(GetStatus(viewer));
  EXPECT_THAT(Pause(viewer),
              StatusIs(kPermissionDenied,
                       "viewer/desk may not call demorl.control.v1.ControlService/Pause; allowed: operator"));
  const auto lead = Dial(ClientOfRole("operator"));
  EXPECT_OK(GetStatus(lead));
  EXPECT_OK(Pause(lead));
}

// Counts what reaches it, by kinds of methods.
class Handlers final : public gateway::v1::GatewayService::CallbackService {
 public:
  grpc::ServerUnaryReactor* Arm(grpc::CallbackServerContext* context, const gateway::v1::ArmRequest*,
                                gateway::v1::ArmResponse*) override {
    ++calls;
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  grpc::ServerWriteReactor<gateway::v1::WatchStateResponse>* WatchState(
      grpc::CallbackServerContext*, const gateway::v1::WatchStateRequest*) override {
    ++calls;
    return nullptr;
  }
  std::atomic<int> calls{0};
};

TEST_F(TransportSecurityTest, ACallThatIsRefusedDoesNotReachItsHandler) {
  Handlers handlers;
  StartServer({&handlers});
  const auto arm = [&](const std::string& role) {
    grpc::ClientContext context;
    gateway::v1::ArmResponse response;
    return FromGrpcStatus(
        gateway::v1::GatewayService::NewStub(Dial(ClientOfRole(role)))->Arm(&context, {}, &response));
  };
  const auto watch = [&](const std::string& role) {
    const auto stub = gateway::v1::GatewayService::NewStub(Dial(ClientOfRole(role)));
    grpc::ClientContext context;
    const auto stream = stub->WatchState(&context, {});
    gateway::v1::WatchStateResponse response;
    EXPECT_FALSE(stream->Read(&response));
    return FromGrpcStatus(stream->Finish());
  };
  EXPECT_THAT(arm("viewer"), StatusIs(kPermissionDenied, HasSubstr("viewer may not call")));
  EXPECT_THAT(watch("actor"), StatusIs(kPermissionDenied, HasSubstr("actor may not call")));
  EXPECT_EQ(handlers.calls, 0);
  EXPECT_OK(arm("operator"));
  EXPECT_THAT(watch("viewer"), StatusIs(absl::StatusCode::kUnimplemented, _));
  EXPECT_EQ(handlers.calls, 2);
  runner_.reset();  // before the handlers
}

TEST_F(TransportSecurityTest, ACallWithinTheProcessIsNotRestricted) {
  StartServer();
  EXPECT_OK(Pause(runner_->InProcessChannel()));
}

TEST_F(TransportSecurityTest, RefusesACertificateOfAnotherAuthority) {
  StartServer();
  TestAuthority other("other");
  const Refusal refusal = CallWith(other.IssueRole("operator"));
  EXPECT_THAT(refusal.status, StatusIs(kUnavailable, _));
  EXPECT_THAT(refusal.log, HasSubstr("certificate verify failed (unable to get local issuer certificate)"));
}

TEST_F(TransportSecurityTest, RefusesAnExpiredCertificate) {
  StartServer();
  const Refusal refusal = CallWith(authority_.Issue(
      {.alternative_names = {"URI:spiffe://demorl.local/operator"}, .end = -absl::Seconds(1)}));
  EXPECT_THAT(refusal.status, StatusIs(kUnavailable, _));
  EXPECT_THAT(refusal.log, HasSubstr("certificate verify failed (certificate has expired)"));
}

TEST_F(TransportSecurityTest, RefusesACertificateOfTheFuture) {
  StartServer();
  const Refusal refusal = CallWith(authority_.Issue(
      {.alternative_names = {"URI:spiffe://demorl.local/operator"}, .begin = absl::Minutes(5)}));
  EXPECT_THAT(refusal.status, StatusIs(kUnavailable, _));
  EXPECT_THAT(refusal.log, HasSubstr("certificate is not yet valid"));
}

TEST_F(TransportSecurityTest, RefusesAClientWithoutCertificate) {
  StartServer();
  const Refusal refusal = CallWith({});
  EXPECT_THAT(refusal.status, StatusIs(kUnavailable, _));
  EXPECT_THAT(refusal.log, HasSubstr("peer did not return a certificate"));
}

TEST_F(TransportSecurityTest, RefusesAPlainTextClient) {
  StartServer();
  const CapturedLog log;
  EXPECT_THAT(GetStatus(MakeChannel(ServerAddress())), StatusIs(kUnavailable, _));
  EXPECT_OK(runner_->Shutdown());
  EXPECT_THAT(log.Text(), HasSubstr("a TLS handshake failed"));
}

TEST_F(TransportSecurityTest, TellsACertificateWithoutARoleWhatIsMissing) {
  const struct {
    std::vector<std::string> names;
    const char* message;
  } kCases[] = {
      {{}, "found none"},
      {{"DNS:operator"}, "found none"},
      {{"URI:spiffe://elsewhere.org/operator"}, "found spiffe://elsewhere.org/operator"},
      {{"URI:spiffe://demorl.local.evil.org/operator"}, "want one URI spiffe://demorl.local/<role>[/<name>]"},
      {{"URI:spiffe://demorl.local/operator", "URI:spiffe://demorl.local/viewer"}, "want one URI"},
      {{"URI:spiffe://demorl.local/operators"}, "no role \"operators\"; known are replay"},
      {{"URI:spiffe://demorl.local/"}, "no role \"\""},
  };
  for (const auto& [names, message] : kCases) {
    StartServer();
    const Refusal refusal =
        CallWith(authority_.Issue({.common_name = "operator", .alternative_names = names}));
    EXPECT_THAT(refusal.status,
                StatusIs(kUnauthenticated,
                         AllOf(HasSubstr("certificate of \"CN=operator\" (serial "), HasSubstr(message))));
    EXPECT_THAT(refusal.log, HasSubstr(message));
  }
}

TEST_F(TransportSecurityTest, RefusesARevokedCertificateAlsoOnAConnectionThatExists) {
  ASSERT_OK(MakeFolders(folder_ / "crl"));
  server_config_.set_crl_dir((folder_ / "crl").string());
  StartServer();
  const TestAuthority::Issued good = authority_.IssueRole("operator/kept"),
                              bad = authority_.IssueRole("operator/lost");
  const auto kept = Dial(Client("kept", good)), lost = Dial(Client("lost", bad));
  EXPECT_OK(GetStatus(lost));
  EXPECT_OK(GetStatus(kept));
  ASSERT_OK(WriteFileAtomically(folder_ / "crl" / "authority.crl", authority_.RevocationList({bad})));
  EXPECT_THAT(Until(kUnauthenticated, [&] { return GetStatus(lost); }),
              StatusIs(kUnauthenticated, AllOf(HasSubstr("CN=operator/lost"), HasSubstr("was revoked on"))));
  EXPECT_OK(GetStatus(kept));
  // A list that cannot be read lets nobody in again.
  ASSERT_OK(WriteFileAtomically(folder_ / "crl" / "authority.crl", "nonsense"));
  absl::SleepFor(absl::Milliseconds(1500));  // longer than a look at the folder takes to be due
  EXPECT_THAT(GetStatus(lost), StatusIs(kUnauthenticated, HasSubstr("was revoked on")));
}

TEST_F(TransportSecurityTest, AListThatIsNotWholeOrIsTakenAwayLetsNobodyInAgain) {
  const std::filesystem::path list = folder_ / "crl" / "authority.crl";
  ASSERT_OK(MakeFolders(list.parent_path()));
  const TestAuthority::Issued bad = authority_.IssueRole("operator/lost"),
                              worse = authority_.IssueRole("operator/stolen");
  TestAuthority other("other");
  const std::string first = other.RevocationList({}), whole = first + authority_.RevocationList({bad});
  ASSERT_OK(WriteFileAtomically(list, whole));
  ASSERT_OK_AND_ASSIGN(const auto lists, RevocationLists::Open(list.parent_path()));
  EXPECT_THAT(lists->Check(bad.certificate), StatusIs(kUnauthenticated, _));
  EXPECT_OK(lists->Check(worse.certificate));
  const CapturedLog log;
  const auto look = [&] {
    absl::SleepFor(absl::Milliseconds(1100));  // longer than a look at the folder takes to be due
    return lists->Check(bad.certificate);
  };
  // The first of its two lists alone is whole.
  ASSERT_OK(WriteFileAtomically(list, whole.substr(0, whole.size() - 100)));
  EXPECT_THAT(look(), StatusIs(kUnauthenticated, _));
  EXPECT_THAT(log.Text(), AllOf(HasSubstr(list.string()), HasSubstr("revocation list 2 in it is damaged")));
  std::filesystem::remove(list);
  EXPECT_THAT(look(), StatusIs(kUnauthenticated, _));
  EXPECT_THAT(log.Text(), HasSubstr("holds no *.crl any longer; those from before hold"));
  // Said once.
  const std::string said = log.Text();
  EXPECT_THAT(look(), StatusIs(kUnauthenticated, _));
  EXPECT_EQ(log.Text(), said);
  ASSERT_OK(WriteFileAtomically(list, authority_.RevocationList({bad, worse})));
  EXPECT_THAT(look(), StatusIs(kUnauthenticated, _));
  EXPECT_THAT(lists->Check(worse.certificate), StatusIs(kUnauthenticated, _));
}

TEST(FileWatchTest, SeesNewModesAndLooksAgainAtWhatCouldNotBeRead) {
  const std::filesystem::path file = std::filesystem::path(::testing::TempDir()) / "file_watch_test";
  ASSERT_OK(WriteFileAtomically(file, "text"));
  FileWatch watch(file);
  const auto look = [&] {
    absl::SleepFor(absl::Milliseconds(1100));
    return watch.Changed();
  };
  EXPECT_TRUE(watch.Changed());
  EXPECT_FALSE(look());
  std::filesystem::permissions(file, std::filesystem::perms::owner_read);
  EXPECT_TRUE(look());
  EXPECT_TRUE(watch.NoteFailure());
  EXPECT_TRUE(look());
  EXPECT_FALSE(watch.NoteFailure());
  EXPECT_TRUE(look());
  EXPECT_FALSE(look());
  std::filesystem::remove(file);
}

TEST_F(TransportSecurityTest, AClientRefusesAServerOfAnotherAuthorityNameOrRevoked) {
  const TestAuthority other("other");
  StartServer();
  SecurityConfig config;
  WriteTlsDir(folder_ / "distrustful", authority_.IssueRole("operator"), other.certificate());
  config.set_tls_dir((folder_ / "distrustful").string());
  EXPECT_THAT(GetStatus(Dial(Client(config))),
              StatusIs(kUnavailable, HasSubstr("certificate verify failed")));

  const TestAuthority::Issued elsewhere =
      authority_.Issue({.alternative_names = {"URI:spiffe://demorl.local/replay", "DNS:replay.example.org"}});
  WriteTlsDir(folder_ / "elsewhere", elsewhere, authority_.certificate());
  server_config_.set_tls_dir((folder_ / "elsewhere").string());
  StartServer();
  EXPECT_THAT(GetStatus(Dial(ClientOfRole("operator"))),
              StatusIs(kUnavailable, HasSubstr("Hostname Verification Check failed")));

  const TestAuthority::Issued revoked = authority_.IssueRole("replay/revoked");
  WriteTlsDir(folder_ / "revoked", revoked, authority_.certificate());
  server_config_.set_tls_dir((folder_ / "revoked").string());
  StartServer();
  ASSERT_OK(MakeFolders(folder_ / "crl"));
  ASSERT_OK(WriteFileAtomically(folder_ / "crl" / "authority.crl", authority_.RevocationList({revoked})));
  WriteTlsDir(folder_ / "careful", authority_.IssueRole("operator"), authority_.certificate());
  config.set_tls_dir((folder_ / "careful").string());
  config.set_crl_dir((folder_ / "crl").string());
  EXPECT_THAT(GetStatus(Dial(Client(config))),
              StatusIs(kUnavailable, AllOf(HasSubstr("CN=replay/revoked"), HasSubstr("was revoked on"))));
}

TEST_F(TransportSecurityTest, AClientWithoutCertificateMayShowAToken) {
  const std::string token = "0123456789abcdef0123456789abcdef";
  ASSERT_OK(MakeFolders(folder_));
  ASSERT_OK(WriteFileAtomically(folder_ / "accepted",
                                absl::StrCat("# the lab\nviewer/lab ", Sha256Hex(token), "\nviewer/old ",
                                             Sha256Hex("old"), " 2020-01-01T00:00:00Z\n")));
  server_config_.set_accepted_tokens_file((folder_ / "accepted").string());
  StartServer();
  WriteTlsDir(folder_ / "lab", {}, authority_.certificate());
  SecurityConfig config;
  config.set_tls_dir((folder_ / "lab").string());
  config.set_token_file((folder_ / "token").string());
  ASSERT_OK(WriteFileAtomically(folder_ / "token", token + "\n"));
  const auto lab = Dial(Client(config));
  EXPECT_OK(GetStatus(lab));
  EXPECT_THAT(Pause(lab), StatusIs(kPermissionDenied, HasSubstr("viewer/lab may not call")));
  ASSERT_OK(WriteFileAtomically(folder_ / "token", "old"));
  EXPECT_THAT(
      Until(kUnauthenticated, [&] { return GetStatus(lab); }),
      StatusIs(kUnauthenticated, "the bearer token of viewer/old has expired on 2020-01-01T00:00:00+00:00"));
  ASSERT_OK(WriteFileAtomically(folder_ / "token", "wrong"));
  absl::SleepFor(absl::Milliseconds(1100));
  EXPECT_THAT(GetStatus(lab),
              StatusIs(kUnauthenticated, HasSubstr("not one of those that this server takes")));
  // Certificates still do.
  EXPECT_OK(GetStatus(Dial(ClientOfRole("viewer"))));
  // And neither of both does not.
  EXPECT_THAT(CallWith({}).status,
              StatusIs(kUnauthenticated, HasSubstr("neither a certificate nor a bearer token")));
}

TEST_F(TransportSecurityTest, AFileWithoutOneTokenIsNamedAndOneThatAllMayReadIsWarnedOf) {
  ASSERT_OK(MakeFolders(folder_));
  const std::filesystem::path file = folder_ / "token";
  const struct {
    std::string text;
    const char* message;
  } kCases[] = {{"", "token is empty"},
                {" \n\n", "token is empty"},
                {"one\ntwo\n", "more than one line or word"},
                {"one two", "more than one line or word"},
                {"\xc3\xa4", "not printable ASCII"},
                {std::string("a\0b", 3), "not printable ASCII"},
                {std::string(4097, 'a'), "has 4097 bytes"}};
  for (const auto& [text, message] : kCases) {
    ASSERT_OK(WriteFileAtomically(file, text));
    EXPECT_THAT(MakeTokenCredentials(file),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr(file.string()), HasSubstr(message), HasSubstr("want one token"))));
  }
  for (const auto& [mode, warns] : {std::pair(0600, false), {0640, false}, {0644, true}, {0660, true}}) {
    ASSERT_OK(WriteFileAtomically(file, std::string(4096, 'a') + "\r\n"));
    std::filesystem::permissions(file, static_cast<std::filesystem::perms>(mode));
    const CapturedLog log;
    EXPECT_OK(MakeTokenCredentials(file));
    EXPECT_EQ(log.Text().find("want 0600 or 0640") != std::string::npos, warns) << mode;
  }
}

TEST_F(TransportSecurityTest, ATokenIsNotShownToAServerThatTakesNone) {
  StartServer();
  WriteTlsDir(folder_ / "lab", {}, authority_.certificate());
  SecurityConfig config;
  config.set_tls_dir((folder_ / "lab").string());
  ASSERT_OK(WriteFileAtomically(folder_ / "token", "secret"));
  config.set_token_file((folder_ / "token").string());
  EXPECT_THAT(GetStatus(Dial(Client(config))), StatusIs(kUnavailable, _));
}

TEST_F(TransportSecurityTest, PlainTextStaysOnLoopbackUnlessAllowed) {
  for (const char* address :
       {"127.0.0.1:0", "localhost:1", "[::1]:0", "127.1.2.3:50051", "unix:/tmp/socket"}) {
    EXPECT_OK(StartWith({}, address)) << address;
  }
  SecurityConfig allowed;
  allowed.set_allow_plain_text(true);
  for (const char* address :
       {"0.0.0.0:50051", "[::]:0", "replay:50051", "10.0.0.1:0", ":50051", "1270.0.0.1:1"}) {
    EXPECT_THAT(StartWith({}, address), StatusIs(absl::StatusCode::kFailedPrecondition,
                                                 AllOf(HasSubstr(address), HasSubstr("security.tls_dir"),
                                                       HasSubstr("allow_plain_text"))));
    const CapturedLog log;
    EXPECT_OK(StartWith(allowed, address)) << address;
    EXPECT_THAT(log.Text(), AllOf(HasSubstr("warning"), HasSubstr("PLAIN TEXT"), HasSubstr(address)));
  }
}

TEST_F(TransportSecurityTest, WhatIsWrongWithTheFilesIsSaidAtTheStart) {
  const TestAuthority::Issued one = authority_.IssueRole("replay"), two = authority_.IssueRole("replay");
  const TestAuthority::Issued expired = authority_.Issue({.end = -absl::Seconds(1)});
  const TestAuthority::Issued early = authority_.Issue({.begin = absl::Minutes(5)});
  const TestAuthority::Issued revoked = authority_.IssueRole("replay");
  ASSERT_OK(MakeFolders(folder_ / "crl"));
  ASSERT_OK(WriteFileAtomically(folder_ / "crl" / "authority.crl", authority_.RevocationList({revoked})));
  const struct {
    TestAuthority::Issued issued;
    std::string authorities;
    std::vector<std::string> messages;
  } kCases[] = {
      {{}, "", {"ca.crt"}},
      {one, "", {"ca.crt"}},
      {one, "nonsense", {"ca.crt", "no certificate in PEM form"}},
      {{}, authority_.certificate(), {"holds no tls.crt and tls.key", "token_file"}},
      {{one.certificate, ""}, authority_.certificate(), {"tls.key"}},
      {{one.certificate, two.key}, authority_.certificate(), {"tls.key", "not that of the certificate"}},
      {{one.certificate, "nonsense"}, authority_.certificate(), {"tls.key", "no private key in PEM form"}},
      {expired, authority_.certificate(), {"tls.crt", "has expired on"}},
      {early, authority_.certificate(), {"tls.crt", "is not valid before"}},
      {revoked, authority_.certificate(), {"tls.crt", "was revoked on"}},
  };
  int number = 0;
  for (const auto& [issued, authorities, messages] : kCases) {
    const std::filesystem::path folder = folder_ / absl::StrCat("case_", number++);
    WriteTlsDir(folder, issued, authorities);
    SecurityConfig config;
    config.set_tls_dir(folder.string());
    config.set_crl_dir((folder_ / "crl").string());
    const absl::Status status = TransportSecurity::Create(config).status();
    EXPECT_FALSE(status.ok()) << number;
    for (const std::string& message : messages) {
      EXPECT_THAT(std::string(status.message()), HasSubstr(message)) << number;
    }
  }
  SecurityConfig without_tls;
  without_tls.set_token_file("token");
  EXPECT_THAT(
      TransportSecurity::Create(without_tls),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("token_file is set without security.tls_dir")));
  SecurityConfig without_lists;
  without_lists.set_tls_dir((folder_ / "server").string());
  without_lists.set_crl_dir((folder_ / "absent").string());
  EXPECT_THAT(TransportSecurity::Create(without_lists),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("absent")));
}

TEST_F(TransportSecurityTest, OnlyTls13ComesAbout) {
  StartServer();
  WriteTlsDir(folder_ / "viewer", authority_.IssueRole("viewer"), authority_.certificate());
  const std::string folder = (folder_ / "viewer").string();
  const auto handshake = [&](const std::string& version) {
    const std::string out = (folder_ / "s_client").string();
    const int status =
        std::system(absl::StrCat("openssl s_client -connect ", ServerAddress(), " -alpn h2 -CAfile ", folder,
                                 "/ca.crt -cert ", folder, "/tls.crt -key ", folder,
                                 "/tls.key -verify_return_error ", version, " </dev/null >", out, " 2>&1")
                        .c_str());
    return std::pair(status, ReadFile(out).value_or(""));
  };
  const auto [status_13, text_13] = handshake("-tls1_3");
  EXPECT_EQ(status_13, 0) << text_13;
  EXPECT_THAT(text_13, HasSubstr("TLSv1.3"));
  for (const char* version : {"-tls1_2", "-tls1_1 -cipher DEFAULT:@SECLEVEL=0"}) {
    const CapturedLog log;
    const auto [status, text] = handshake(version);
    EXPECT_NE(status, 0) << version;
    EXPECT_THAT(text, HasSubstr("Cipher is (NONE)")) << version;
    EXPECT_OK(runner_->Shutdown());
    EXPECT_THAT(log.Text(), HasSubstr("a TLS handshake failed: unsupported protocol")) << version;
    StartServer();
  }
}

// Calls without end, each over a connection of its own or over one that stays.
class SteadyCalls {
 public:
  SteadyCalls(std::function<std::shared_ptr<grpc::Channel>()> channel,
              std::function<absl::Status(const std::shared_ptr<grpc::Channel>&)> call)
      : thread_([this, channel = std::move(channel), call = std::move(call)] {
          while (!ended_.load()) {
            if (const absl::Status status = call(channel()); !status.ok()) {
              absl::MutexLock lock(&mutex_);
              failures_.push_back(status);
            }
            ++calls_;
          }
        }) {}
  ~SteadyCalls() { End(); }

  std::vector<absl::Status> End() {
    ended_.store(true);
    if (thread_.joinable()) {
      thread_.join();
    }
    absl::MutexLock lock(&mutex_);
    return failures_;
  }
  int calls() const { return calls_.load(); }

 private:
  std::atomic<bool> ended_{false};
  std::atomic<int> calls_{0};
  absl::Mutex mutex_;
  std::vector<absl::Status> failures_;
  std::thread thread_;
};

TEST_F(TransportSecurityTest, NoCallFailsWhileAllCertificatesAndTheAuthorityAreReplaced) {
  limits_.set_max_calls_per_second(0);
  StartServer();
  TransportSecurity* client = Client("rotating", authority_.IssueRole("viewer/old"));
  const auto kept = Dial(client);
  SteadyCalls over_one([&] { return kept; }, GetStatus);
  SteadyCalls over_new([&] { return FreshChannel(client->channel_credentials()); }, GetStatus);

  TestAuthority next("the next authority");
  ReplaceCertificates("rotating", "viewer", next);

  EXPECT_THAT(over_one.End(), IsEmpty());
  EXPECT_THAT(over_new.End(), IsEmpty());
  EXPECT_GT(over_one.calls(), 100);
  EXPECT_GT(over_new.calls(), 20);
}

}  // namespace
}  // namespace demorl
