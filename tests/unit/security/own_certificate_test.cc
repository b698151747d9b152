// What a process says of its own certificate: in its log, in its metrics, and in the status of a call whose
// server has refused it.
#include "common/rpc/security/own_certificate.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "tests/testing/secure_server.h"

namespace demorl {
namespace {

using ::demorl::testing::CapturedLog;
using ::demorl::testing::SecureServerTest;
using ::demorl::testing::StatusIs;
using ::demorl::testing::TestAuthority;
using ::demorl::testing::WriteTlsDir;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr auto kUnavailable = absl::StatusCode::kUnavailable;
constexpr char kMayHaveRefused[] = "the server may have refused us after the TLS handshake";

// Accepts connections and closes them, as what is no server of ours may.
class ClosingPort {
 public:
  ClosingPort() : listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 10), 0);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] {
      for (int one = accept(listener_, nullptr, nullptr); one >= 0;
           one = accept(listener_, nullptr, nullptr)) {
        close(one);
      }
    });
  }
  ~ClosingPort() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

 private:
  const int listener_;
  int port_ = 0;
  std::thread thread_;
};

class OwnCertificateTest : public SecureServerTest {
 protected:
  void Write(const TestAuthority::Issued& issued) {
    WriteTlsDir(folder_ / "own", issued, authority_.certificate());
  }
  void Revoke(const std::vector<TestAuthority::Issued>& issued) {
    ASSERT_OK(MakeFolders(folder_ / "crl"));
    ASSERT_OK(WriteFileAtomically(folder_ / "crl" / "authority.crl", authority_.RevocationList(issued)));
  }
  absl::StatusOr<std::shared_ptr<OwnCertificate>> Open() {
    SecurityConfig config;
    config.set_trust_domain("demorl.local");
    config.set_crl_dir((folder_ / "crl").string());
    absl::StatusOr<std::unique_ptr<AccessControl>> access = AccessControl::Create(config);
    EXPECT_OK(access.status());
    return OwnCertificate::Open(folder_ / "own", *std::move(access));
  }
  double Metric(const std::string& name) { return metrics_->GetGauge(name, "").Value(); }
};

TEST_F(OwnCertificateTest, DoubtsAreSaidAtTheStartAndDoNotPreventIt) {
  Revoke({});
  TestAuthority other("other");
  const struct {
    TestAuthority::Issued issued;
    std::string message;
  } kCases[] = {
      {authority_.Issue({.common_name = "nobody"}), "names no role: want one URI spiffe://demorl.local/"},
      {authority_.Issue({.alternative_names = {"URI:spiffe://demorl.local/cook"}}), "no role \"cook\""},
      {other.IssueRole("actor"),
       "no authority in it has issued the certificate, whose issuer is \"CN=other\""},
  };
  for (const auto& [issued, message] : kCases) {
    Write(issued);
    const CapturedLog log;
    EXPECT_OK(Open().status());
    EXPECT_THAT(log.Text(), AllOf(HasSubstr("others may refuse our certificate"), HasSubstr(message)));
  }
  Write(authority_.IssueRole("actor"));
  const CapturedLog log;
  EXPECT_OK(Open().status());
  EXPECT_THAT(log.Text(),
              AllOf(HasSubstr("TLS as spiffe://demorl.local/actor, until"), Not(HasSubstr("refuse"))));
}

TEST_F(OwnCertificateTest, ACertificateOfAnIntermediateAuthorityIsNotDoubted) {
  Revoke({});
  const TestAuthority::Issued middle = authority_.IssueAuthority("middle");
  TestAuthority::Issued issued = TestAuthority(middle).IssueRole("actor");
  issued.certificate += middle.certificate;
  Write(issued);
  const CapturedLog log;
  EXPECT_OK(Open().status());
  EXPECT_THAT(log.Text(), Not(HasSubstr("refuse")));
}

TEST_F(OwnCertificateTest, WhatIsWrongWithACertificateIsSaidOnceWhenItIsReadAgain) {
  Revoke({});
  const TestAuthority::Issued good = authority_.IssueRole("actor"), lost = authority_.IssueRole("actor");
  Write(good);
  ASSERT_OK_AND_ASSIGN(const std::shared_ptr<OwnCertificate> own, Open());
  TestAuthority other("other");
  const std::vector<std::string> names = {"URI:spiffe://demorl.local/actor"};
  const struct {
    TestAuthority::Issued issued;
    std::string message;
  } kCases[] = {
      {authority_.Issue({.alternative_names = names, .end = -absl::Seconds(1)}), "has expired on"},
      {authority_.Issue({.alternative_names = names, .begin = absl::Minutes(5)}), "is not valid before"},
      {{good.certificate, lost.key}, "the key is not that of the certificate"},
      {authority_.Issue({}), "names no role"},
      {other.IssueRole("actor"), "whose issuer is \"CN=other\""},
  };
  for (const auto& [issued, message] : kCases) {
    Write(issued);
    const CapturedLog log;
    EXPECT_THAT(own->Explain(), HasSubstr(message));
    EXPECT_THAT(log.Text(), AllOf(HasSubstr("refuse our certificate"), HasSubstr(message)));
    const CapturedLog later;
    own->Explain();
    EXPECT_EQ(later.Text(), "");
  }
  Write(lost);
  EXPECT_THAT(own->Explain(),
              AllOf(HasSubstr("of issuer \"CN=demorl test authority\", valid until"), Not(HasSubstr(";"))));
  Revoke({lost});
  absl::SleepFor(absl::Milliseconds(1100));  // longer than a look at the lists takes to be due
  EXPECT_THAT(own->Explain(), HasSubstr("was revoked on"));
}

TEST_F(OwnCertificateTest, AServerSaysWhenItsCertificateBeginsAndEnds) {
  constexpr char kBegin[] = "demorl_rpc_certificate_not_before_timestamp_seconds",
                 kEnd[] = "demorl_rpc_certificate_not_after_timestamp_seconds";
  StartServer();
  const double begin = Metric(kBegin), end = Metric(kEnd);
  EXPECT_EQ(end - begin, 7200);
  EXPECT_LT(std::abs(end - static_cast<double>(absl::ToUnixSeconds(absl::Now())) - 3600), 100);
  WriteTlsDir(folder_ / "server",
              authority_.Issue({.alternative_names = {"URI:spiffe://demorl.local/replay"},
                                .begin = -absl::Hours(3),
                                .end = absl::Hours(3)}),
              authority_.certificate());
  for (const absl::Time deadline = absl::Now() + absl::Seconds(30);
       Metric(kEnd) == end && absl::Now() < deadline;) {
    absl::SleepFor(absl::Milliseconds(10));
  }
  EXPECT_NEAR(Metric(kEnd) - end, 7200, 100);
  EXPECT_NEAR(begin - Metric(kBegin), 7200, 100);
}

TEST_F(OwnCertificateTest, AClientThatWasRefusedIsToldWhichCertificateItShows) {
  StartServer();
  TestAuthority other("other");
  TransportSecurity* client = Client("stranger", other.IssueRole("operator/ada"));
  EXPECT_THAT(
      GetStatus(Dial(client)),
      StatusIs(kUnavailable,
               AllOf(HasSubstr(kMayHaveRefused), HasSubstr("certificate of \"CN=operator/ada\" (serial "),
                     HasSubstr("of issuer \"CN=other\", valid until 20"),
                     HasSubstr("no authority in it has issued"), HasSubstr("its log says why"))));
}

TEST_F(OwnCertificateTest, ACallThatWaitsForAConnectionIsToldTooWhenItsTimeIsUp) {
  StartServer();
  TestAuthority other("other");
  const auto stub =
      demorl::control::v1::ControlService::NewStub(Dial(Client("stranger", other.IssueRole("operator/ada"))));
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Seconds(5)));
  demorl::control::v1::GetStatusResponse response;
  EXPECT_THAT(FromGrpcStatus(stub->GetStatus(&context, {}, &response)),
              StatusIs(absl::StatusCode::kDeadlineExceeded,
                       AllOf(HasSubstr(kMayHaveRefused), HasSubstr("CN=operator/ada"))));
}

TEST_F(OwnCertificateTest, AClientWithATokenAtAServerThatTakesNoneIsToldToo) {
  StartServer();
  WriteTlsDir(folder_ / "lab", {}, authority_.certificate());
  SecurityConfig config;
  config.set_tls_dir((folder_ / "lab").string());
  ASSERT_OK(WriteFileAtomically(folder_ / "token", "secret"));
  config.set_token_file((folder_ / "token").string());
  EXPECT_THAT(
      GetStatus(Dial(Client(config))),
      StatusIs(kUnavailable, AllOf(HasSubstr(kMayHaveRefused), HasSubstr("a token and no certificate"))));
}

TEST_F(OwnCertificateTest, FailuresOfTheNetworkAreNotCalledARefusal) {
  StartServer();
  TransportSecurity* client = ClientOfRole("operator");
  const auto channel = Dial(client);
  const std::string address = ServerAddress();
  const auto expect_plain = [&](const std::shared_ptr<grpc::Channel>& dialled) {
    EXPECT_THAT(GetStatus(dialled), StatusIs(kUnavailable, Not(HasSubstr("refused us"))));
  };
  {
    const ClosingPort port;
    expect_plain(MakeChannel(port.address(), nullptr, client));
  }
  expect_plain(MakeChannel("name.invalid:1", nullptr, client));
  EXPECT_OK(GetStatus(channel));
  EXPECT_OK(runner_->Shutdown());
  expect_plain(channel);
  expect_plain(MakeChannel(address, nullptr, client));
  server_config_.clear_tls_dir();
  StartServer();
  expect_plain(Dial(client));
}

}  // namespace
}  // namespace demorl
