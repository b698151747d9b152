// Streams of replay's real clients over TLS, while certificates are taken back or replaced.

#include <atomic>
#include <filesystem>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "common/rpc/service_context.h"
#include "gmock/gmock.h"
#include "services/replay/replay_client.h"
#include "services/replay/replay_component.h"
#include "tests/testing/secure_server.h"
#include "tests/unit/replay/replay_test_data.h"

namespace demorl {
namespace {

using ::demorl::testing::MakeChunk;
using ::demorl::testing::MakeSegment;
using ::demorl::testing::SecureServerTest;
using ::demorl::testing::StatusIs;
using ::demorl::testing::TestAuthority;
using ::demorl::testing::TestEnvironment;
using ::demorl::testing::WriteTlsDir;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int kSteps = 5;
constexpr int kAppenders = 3;

absl::Time Soon() { return absl::Now() + absl::Seconds(60); }

// Appends chunks of an episode of its own, one after the other, each acknowledged.
class Appender {
 public:
  Appender(std::shared_ptr<grpc::Channel> channel, uint64_t episode)
      : episode_(episode),
        client_(std::move(channel), "run"),
        writer_(client_.OpenWriter({.writer_id = absl::StrCat("actor", episode),
                                    .writer_epoch = 1,
                                    .environment = TestEnvironment()})) {}

  absl::Status Append() {
    RETURN_IF_ERROR(writer_->Append(MakeChunk({MakeSegment(episode_, kSteps * chunks_, kSteps)}), Soon()));
    RETURN_IF_ERROR(writer_->Flush(Soon()));
    ++chunks_;
    return absl::OkStatus();
  }
  // Acknowledged.
  size_t rows() const { return static_cast<size_t>(kSteps * chunks_); }

 private:
  const uint64_t episode_;
  ReplayClient client_;
  const std::unique_ptr<ReplayWriter> writer_;
  int chunks_ = 0;
};

class SecureStreamsTest : public SecureServerTest {
 protected:
  SecureStreamsTest() {
    context_.config.set_run_id("run");
    for (const char* name : {"env", "mpc"}) {
      context_.config.mutable_replay()->add_tables()->set_name(name);
    }
    context_.data_dir = (folder_ / "data").string();
    context_.metrics = metrics_.get();
    std::filesystem::create_directories(context_.data_dir);
    std::filesystem::create_directories(folder_ / "crl");
    server_config_.set_crl_dir((folder_ / "crl").string());
  }
  ~SecureStreamsTest() override {
    tail_.reset();
    runner_.reset();
  }

  void StartReplay() {
    ASSERT_OK_AND_ASSIGN(replay_, MakeReplayComponent(context_));
    StartServer(replay_.get());
  }

  // Appenders and a sampler on threads of their own, and a tail, all with the certificate in "rotating".
  void StartClients() {
    TransportSecurity* security = Client("rotating", authority_.IssueRole("operator"));
    for (int i = 0; i < kAppenders; ++i) {
      threads_.emplace_back([this, i, security] {
        Appender appender(Dial(security), static_cast<uint64_t>(i));
        while (!stop_) {
          ASSERT_OK(appender.Append());
          absl::SleepFor(absl::Milliseconds(1));  // a rate, so that rows do not outgrow the reader
        }
        appended_ += appender.rows();
      });
    }
    threads_.emplace_back([this, security] {
      ReplayClient client(Dial(security), "run");
      const auto sampler = client.OpenSampler({.shares = {{"env", 16}}});
      while (!stop_) {
        ASSERT_OK(sampler->Next(Soon()));
      }
    });
    reader_ = std::make_unique<ReplayClient>(Dial(security), "run");
    tail_ = reader_->OpenTail("env", 0);
    tailer_ = std::thread([this] {
      while (!stop_) {
        TakeFromTail();
      }
    });
  }

  void TakeFromTail() {
    ASSERT_OK_AND_ASSIGN(const TailedRows tailed, tail_->Next(Soon()));
    for (const Segment& segment : tailed.chunk.segments) {
      for (const float reward : segment.rewards) {
        ++tailed_[{segment.episode_id, static_cast<int>(reward)}];
      }
    }
  }

  // Ends the clients: what was appended has come out of the tail, and lies in the table, once.
  void ExpectEveryRowOnce() {
    stop_ = true;
    for (std::thread& thread : threads_) {
      thread.join();
    }
    Appender last(runner_->InProcessChannel(), kAppenders);  // so that the tail has something to wait for
    ASSERT_OK(last.Append());
    appended_ += last.rows();
    tailer_.join();
    while (tailed_.size() < appended_ && !HasFailure()) {
      TakeFromTail();
    }
    EXPECT_GT(appended_, 100U);
    EXPECT_EQ(tailed_.size(), appended_);
    for (const auto& [row, count] : tailed_) {
      EXPECT_EQ(count, 1) << "episode " << row.first << " step " << row.second;
    }
    ReplayClient client(runner_->InProcessChannel(), "run");
    ASSERT_OK_AND_ASSIGN(const auto info, client.GetTable("env"));
    EXPECT_EQ(info.rows_inserted(), appended_);
    ASSERT_OK_AND_ASSIGN(const auto audit, client.Audit());
    EXPECT_EQ(audit.violations_size(), 0) << audit.DebugString();
  }

  // Streams that have begun.
  double Streams(const std::string& method) {
    return metrics_
        ->GetCounter("grpc_server_started_total", "Calls that have begun",
                     {{"grpc_service", "demorl.replay.v1.ReplayService"}, {"grpc_method", method}})
        .Value();
  }

  ServiceContext context_;
  std::unique_ptr<ServiceComponent> replay_;
  std::atomic<bool> stop_ = false;
  // Rows, as far as their appenders have ended.
  std::atomic<size_t> appended_ = 0;
  // By episode and step; of the tailer until it has ended.
  std::map<std::pair<uint64_t, int>, int> tailed_;
  std::unique_ptr<ReplayClient> reader_;
  std::unique_ptr<TableTail> tail_;
  std::vector<std::thread> threads_;
  std::thread tailer_;
};

TEST_F(SecureStreamsTest, AStreamEndsSoonAfterItsPeersCertificateWasRevokedAndOthersGoOn) {
  StartReplay();
  const TestAuthority::Issued lost = authority_.IssueRole("actor/lost");
  Appender kept(Dial(ClientOfRole("actor/kept")), 1), revoked(Dial(Client("lost", lost)), 2);
  EXPECT_OK(kept.Append());
  EXPECT_OK(revoked.Append());
  ReplayClient watcher(Dial(Client("watcher", authority_.IssueRole("model_trainer"))), "run");
  const std::unique_ptr<TableTail> tail = watcher.OpenTail("env", 0);
  ASSERT_OK(WriteFileAtomically(folder_ / "crl" / "authority.crl", authority_.RevocationList({lost})));
  EXPECT_THAT(Until(absl::StatusCode::kUnauthenticated, [&] { return revoked.Append(); }),
              StatusIs(absl::StatusCode::kUnauthenticated,
                       AllOf(HasSubstr("CN=actor/lost"), HasSubstr("was revoked on"))));
  EXPECT_OK(kept.Append());
  for (size_t rows = 0; rows < kept.rows() + revoked.rows();) {
    ASSERT_OK_AND_ASSIGN(const TailedRows tailed, tail->Next(Soon()));
    for (const Segment& segment : tailed.chunk.segments) {
      rows += segment.rewards.size();
    }
  }
  EXPECT_EQ(Streams("Tail"), 1);
  EXPECT_EQ(Streams("Append"), 2);
}

TEST_F(SecureStreamsTest, AStreamEndsSoonAfterItsPeersTokenWasTakenBack) {
  const auto accept = [&](const std::string& lines) {
    ASSERT_OK(WriteFileAtomically(folder_ / "accepted", lines));
  };
  const std::string kept_line = absl::StrCat("actor/kept ", Sha256Hex("kept"), "\n");
  accept(absl::StrCat(kept_line, "actor/lost ", Sha256Hex("lost"), "\n"));
  server_config_.set_accepted_tokens_file((folder_ / "accepted").string());
  StartReplay();
  const auto dial = [&](const std::string& token) {
    WriteTlsDir(folder_ / token, {}, authority_.certificate());
    EXPECT_OK(WriteFileAtomically(folder_ / absl::StrCat(token, ".token"), token));
    SecurityConfig config;
    config.set_tls_dir((folder_ / token).string());
    config.set_token_file((folder_ / absl::StrCat(token, ".token")).string());
    return Dial(Client(config));
  };
  Appender kept(dial("kept"), 1), lost(dial("lost"), 2);
  EXPECT_OK(kept.Append());
  EXPECT_OK(lost.Append());
  accept(kept_line);
  EXPECT_THAT(
      Until(absl::StatusCode::kUnauthenticated, [&] { return lost.Append(); }),
      StatusIs(absl::StatusCode::kUnauthenticated, HasSubstr("not one of those that this server takes")));
  EXPECT_OK(kept.Append());
  EXPECT_EQ(Streams("Append"), 2);
}

TEST_F(SecureStreamsTest, NoStreamIsBrokenWhileAllCertificatesAndTheAuthorityAreReplaced) {
  StartReplay();
  StartClients();
  TestAuthority next("the next authority");
  ReplaceCertificates("rotating", "operator", next);
  ExpectEveryRowOnce();
  EXPECT_EQ(Streams("Append"), kAppenders + 1);
  EXPECT_EQ(Streams("Sample"), 1);
  EXPECT_EQ(Streams("Tail"), 1);
}

// Here each stream goes over from one connection to the next all the time, so that every step of the
// replacement meets new handshakes.
TEST_F(SecureStreamsTest, NoRowIsLostOrDoubledWhereConnectionsEndWhileCertificatesAreReplaced) {
  max_connection_age_ = absl::Milliseconds(200);
  StartReplay();
  StartClients();
  TestAuthority next("the next authority");
  ReplaceCertificates("rotating", "operator", next);
  ExpectEveryRowOnce();
  EXPECT_GT(Streams("Append"), 3 * kAppenders);
  EXPECT_GT(Streams("Sample"), 3);
  EXPECT_GT(Streams("Tail"), 3);
}

}  // namespace
}  // namespace demorl
