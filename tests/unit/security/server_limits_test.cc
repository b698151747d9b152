#include "common/rpc/server_limits.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/rpc/security/call_gate.h"
#include "common/rpc/security/call_rates.h"
#include "gmock/gmock.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "tests/testing/secure_server.h"

namespace demorl {
namespace {

using ::demorl::testing::SecureServerTest;
using ::demorl::testing::StatusIs;
using ::testing::_;
using ::testing::AllOf;
using ::testing::HasSubstr;

namespace control = ::demorl::control::v1;
constexpr auto kExhausted = absl::StatusCode::kResourceExhausted;

class FakeClock final : public Clock {
 public:
  absl::Duration Now() const override { return now; }
  absl::Duration now = absl::Hours(1);
};

TEST(CallRatesTest, EachClientMayBeginASecondsWorthAndThenAsManyAsItsRateAllows) {
  FakeClock clock;
  CallRates rates(10, clock);
  for (int i = 0; i < 10; ++i) {
    EXPECT_OK(rates.Take("actor/a"));
  }
  EXPECT_THAT(rates.Take("actor/a"),
              StatusIs(kExhausted, AllOf(HasSubstr("actor/a"), HasSubstr("more than 10 calls a second"))));
  EXPECT_OK(rates.Take("actor/b"));
  clock.now += absl::Milliseconds(250);
  EXPECT_OK(rates.Take("actor/a"));
  EXPECT_OK(rates.Take("actor/a"));
  EXPECT_THAT(rates.Take("actor/a"), StatusIs(kExhausted, _));
  clock.now += absl::Hours(1);
  for (int i = 0; i < 10; ++i) {
    EXPECT_OK(rates.Take("actor/a"));
  }
  EXPECT_THAT(rates.Take("actor/a"), StatusIs(kExhausted, _));
}

TEST(CallRatesTest, ZeroIsAnyNumberAndLessThanOneASecondIsOneNowAndThen) {
  FakeClock clock;
  CallRates any(0, clock), seldom(0.1, clock);
  for (int i = 0; i < 10'000; ++i) {
    EXPECT_OK(any.Take("a"));
  }
  EXPECT_OK(seldom.Take("a"));
  EXPECT_THAT(seldom.Take("a"), StatusIs(kExhausted, _));
  clock.now += absl::Seconds(10);
  EXPECT_OK(seldom.Take("a"));
}

class ServerLimitsTest : public SecureServerTest {
 protected:
  int Connect() {
    const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(static_cast<uint16_t>(runner_->port()))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    return descriptor;
  }
};

TEST_F(ServerLimitsTest, AFloodOfIdleAndSlowConnectionsLeavesAClientServed) {
  constexpr int kConnections = 500;
  StartServer();
  const auto before = Dial(ClientOfRole("operator/before"));
  EXPECT_OK(GetStatus(before));
  std::vector<int> flood;
  for (int i = 0; i < kConnections; ++i) {
    flood.push_back(Connect());
  }
  // The first bytes of a TLS handshake, one now and then; the other half says nothing.
  const std::string hello("\x16\x03\x01\x02", 4);
  const auto after = Dial(ClientOfRole("operator/after"));
  for (const char byte : hello) {
    for (int i = 0; i < kConnections; i += 2) {
      EXPECT_EQ(::send(flood[i], &byte, 1, MSG_NOSIGNAL), 1);
    }
    EXPECT_OK(GetStatus(before));
    EXPECT_OK(GetStatus(after));
  }
  // Whoever never becomes a peer is shown out.
  for (const int descriptor : flood) {
    char byte = 0;
    EXPECT_LE(::recv(descriptor, &byte, 1, 0), 0);
    ::close(descriptor);
  }
  EXPECT_OK(GetStatus(before));
}

TEST_F(ServerLimitsTest, OneClientsCallsAreBoundedAndAnothersAreNot) {
  limits_.set_max_calls_per_second(5);
  StartServer();
  const auto busy = Dial(ClientOfRole("viewer/busy"));
  EXPECT_THAT(
      Until(kExhausted, [&] { return GetStatus(busy); }),
      StatusIs(kExhausted, AllOf(HasSubstr("viewer/busy"), HasSubstr("limits.max_calls_per_second"))));
  EXPECT_OK(GetStatus(Dial(ClientOfRole("viewer/calm"))));
}

class PlainTextLimitsTest : public ServerLimitsTest {
 protected:
  PlainTextLimitsTest() {
    server_config_.clear_tls_dir();
    server_config_.set_allow_plain_text(true);
    limits_.set_max_calls_per_second(0.01);
    listen_address_ = "0.0.0.0:0";
  }
  // Over a connection of its own.
  std::shared_ptr<grpc::Channel> Fresh() { return FreshChannel(grpc::InsecureChannelCredentials()); }
};

TEST_F(PlainTextLimitsTest, TheCallsOfOneAddressAreBoundedOverAllItsConnections) {
  StartServer();
  const auto busy = Fresh(), other = Fresh();
  EXPECT_OK(GetStatus(other));
  EXPECT_THAT(Until(kExhausted, [&] { return GetStatus(busy); }),
              StatusIs(kExhausted, AllOf(HasSubstr("127.0.0.1 begins more than 0.01 calls a second"),
                                         HasSubstr("limits.max_calls_per_second"))));
  EXPECT_THAT(Until(kExhausted, [&] { return GetStatus(other); }), StatusIs(kExhausted, _));
  EXPECT_GE(
      metrics_->GetCounter("demorl_rpc_refused_total", "", {{"grpc_code", "RESOURCE_EXHAUSTED"}}).Value(), 2);
  EXPECT_OK(Pause(runner_->InProcessChannel()));
}

// One of HTTP/2.
std::string Frame(char type, char flags, char stream, const std::string& payload) {
  const auto size = static_cast<uint32_t>(payload.size());
  return absl::StrCat(absl::string_view("\0", 1),
                      std::string{static_cast<char>(size >> 8), static_cast<char>(size)},
                      std::string{type, flags, 0, 0, 0, stream}, payload);
}

// Of HPACK, as a literal that is not indexed.
std::string Header(const std::string& name, const std::string& value) {
  return absl::StrCat(absl::string_view("\0", 1), std::string{static_cast<char>(name.size())}, name,
                      std::string{static_cast<char>(value.size())}, value);
}

// CVE-2023-1428: no client of gRPC sends it, and gRPC 1.51 cannot show it to an AuthMetadataProcessor.
TEST_F(PlainTextLimitsTest, AHeaderOfGrpcsOwnLoadBalancersEndsNoServer) {
  StartServer();
  const std::string headers =
      absl::StrCat(Header(":method", "POST"), Header(":scheme", "http"),
                   Header(":path", "/demorl.control.v1.ControlService/GetStatus"),
                   Header(":authority", "localhost"), Header("te", "trailers"),
                   Header("content-type", "application/grpc"), Header("grpclb_client_stats", "x"));
  constexpr char kSettings = 4, kHeaders = 1, kEndHeaders = 4, kData = 0, kEndStream = 1;
  const std::string request = absl::StrCat("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Frame(kSettings, 0, 0, ""),
                                           Frame(kHeaders, kEndHeaders, 1, headers),
                                           Frame(kData, kEndStream, 1, std::string(5, '\0')));
  const int connection = Connect();
  ASSERT_EQ(::send(connection, request.data(), request.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(request.size()));
  std::string answer;
  char bytes[4096];
  for (ssize_t n = 0; answer.find("grpc-status") == std::string::npos &&
                      (n = ::recv(connection, bytes, sizeof(bytes), 0)) > 0;) {
    answer.append(bytes, static_cast<size_t>(n));
  }
  ::close(connection);
  EXPECT_THAT(answer, AllOf(HasSubstr("idle"), HasSubstr("grpc-status")));
}

TEST_F(PlainTextLimitsTest, OnLoopbackAloneWhereAllHaveOneAddressTheyAreNot) {
  listen_address_ = "127.0.0.1:0";
  StartServer();
  const auto channel = Fresh();
  for (int i = 0; i < 100; ++i) {
    EXPECT_OK(GetStatus(channel));
  }
}

TEST(AddressOfPeerTest, IsWithoutThePort) {
  EXPECT_EQ(AddressOfPeer("ipv4:10.0.0.7:51034"), "10.0.0.7");
  EXPECT_EQ(AddressOfPeer("ipv6:[fd00::2]:51034"), "fd00::2");
  EXPECT_EQ(AddressOfPeer("ipv6:%5Bfd00::2%5D:51034"), "fd00::2");
  EXPECT_EQ(AddressOfPeer("unix:/run/demorl"), "unix:/run/demorl");
}

TEST_F(ServerLimitsTest, TooLargeMessagesAndMetadataAreRefusedAndTheClientMayGoOn) {
  limits_.set_max_message_bytes(4 << 20);
  StartServer();
  const auto channel = Dial(ClientOfRole("operator"));
  const auto stub = control::ControlService::NewStub(channel);
  control::PauseRequest large;
  large.GetReflection()->MutableUnknownFields(&large)->AddLengthDelimited(1000, std::string(5 << 20, 'x'));
  control::PauseResponse response;
  grpc::ClientContext first;
  EXPECT_THAT(FromGrpcStatus(stub->Pause(&first, large, &response)),
              StatusIs(kExhausted, HasSubstr("larger")));
  EXPECT_OK(Pause(channel));
  grpc::ClientContext second;
  second.AddMetadata("x-much", std::string(limits_.max_metadata_bytes(), 'x'));
  EXPECT_FALSE(stub->Pause(&second, {}, &response).ok());
  // gRPC may end the connection of such a call.
  EXPECT_OK(Until(absl::StatusCode::kOk, [&] { return Pause(channel); }));
}

// A kilobyte that unpacks to a megabyte.
std::string MuchOfNothing() { return std::string(1 << 20, '\0'); }

TEST_F(ServerLimitsTest, ACompressedMessageIsRefusedBeforeItIsUnpacked) {
  StartServer();
  const auto channel = Dial(ClientOfRole("operator"));
  const auto stub = control::ControlService::NewStub(channel);
  control::PauseRequest request;
  request.GetReflection()->MutableUnknownFields(&request)->AddLengthDelimited(1000, MuchOfNothing());
  control::PauseResponse response;
  for (const grpc_compression_algorithm algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    grpc::ClientContext context;
    context.set_compression_algorithm(algorithm);
    EXPECT_THAT(FromGrpcStatus(stub->Pause(&context, request, &response)),
                StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("is disabled")));
  }
  EXPECT_OK(Pause(channel));
}

class PackingService final : public control::ControlService::CallbackService {
 public:
  grpc::ServerUnaryReactor* GetStatus(grpc::CallbackServerContext* context, const control::GetStatusRequest*,
                                      control::GetStatusResponse* response) override {
    context->set_compression_algorithm(GRPC_COMPRESS_GZIP);
    response->set_detail(MuchOfNothing());
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

TEST_F(ServerLimitsTest, ACompressedAnswerIsRefusedToo) {
  PackingService service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  EXPECT_THAT(GetStatus(MakeChannel(absl::StrCat("127.0.0.1:", port))),
              StatusIs(absl::StatusCode::kUnimplemented, _));
}

TEST_F(ServerLimitsTest, AServerMayOpenAsManyFilesAsTheSystemAllows) {
  rlimit files = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
  const rlimit few = {.rlim_cur = 256, .rlim_max = files.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  StartServer();
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
  EXPECT_EQ(files.rlim_cur, files.rlim_max);
}

}  // namespace
}  // namespace demorl
