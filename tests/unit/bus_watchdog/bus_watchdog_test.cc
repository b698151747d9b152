#include "services/bus_watchdog/core/bus_watchdog.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/clock.h"
#include "common/robot/safety/bus_watchdog_client.h"
#include "common/robot/transport/pty_pair.h"
#include "common/robot/transport/serial_port.h"
#include "tests/testing/counting_allocator.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/test_program.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

// Far beyond what a loaded machine needs; nothing waits for it in a test that passes.
constexpr absl::Duration kPatience = absl::Seconds(30);
// So long that only the gateway's death ends the watch.
constexpr int kNever = 60'000;  // ms

std::string ReadSome(ByteStream& stream, size_t size) {
  std::string text;
  const absl::Duration deadline = RealClock::Get().Now() + kPatience;
  while (text.size() < size) {
    uint8_t bytes[256];
    const IoResult result = stream.Read({bytes, std::min(sizeof(bytes), size - text.size())}, deadline);
    if (!result.ok()) {
      break;
    }
    text.append(reinterpret_cast<const char*>(bytes), result.num_bytes);
  }
  return text;
}

std::string WhatIsLeft(ByteStream& stream) {
  uint8_t bytes[256];
  const IoResult result = stream.Read(bytes, absl::ZeroDuration());
  return {reinterpret_cast<const char*>(bytes), result.ok() ? result.num_bytes : 0};
}

std::vector<std::string> GatewayArguments(int timeout_ms, const std::vector<std::string>& ports) {
  std::vector<std::string> arguments = {std::getenv("WATCHED_GATEWAY"), absl::StrCat(timeout_ms)};
  arguments.insert(arguments.end(), ports.begin(), ports.end());
  return arguments;
}

// A gateway process (watched_gateway.cc) with its buses, and its watchdog.
class GatewayProcess {
 public:
  GatewayProcess(int timeout_ms, const std::vector<std::string>& ports)
      : program_(GatewayArguments(timeout_ms, ports)) {
    const std::string text = program_.ReadLine();
    absl::string_view line = text;
    EXPECT_TRUE(absl::ConsumePrefix(&line, "watched ") && absl::SimpleAtoi(line, &watchdog_)) << text;
  }

  std::string ReadLine() { return program_.ReadLine(); }
  void Signal(int number) { program_.Signal(number); }
  void Kill() { program_.Kill(); }
  // Lets it say goodbye; what came of it.
  std::string Finish() {
    program_.CloseInput();
    const std::string line = program_.ReadLine();
    program_.Wait();
    return line;
  }
  // Of the orphaned watchdog, which this process inherits.
  int WatchdogExitStatus() const {
    int status = -1;
    waitpid(watchdog_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  pid_t watchdog() const { return watchdog_; }

 private:
  testing::TestProgram program_;
  pid_t watchdog_ = -1;
};

class BusWatchdogTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { prctl(PR_SET_CHILD_SUBREAPER, 1); }
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(left_, PtyPair::Open());
    ASSERT_OK_AND_ASSIGN(right_, PtyPair::Open());
  }

  std::vector<std::string> Ports() const {
    return {absl::StrCat(left_->path(), "=free left!"), absl::StrCat(right_->path(), "=right")};
  }

  std::unique_ptr<PtyPair> left_, right_;
};

TEST_F(BusWatchdogTest, FreesEveryBusThreeTimesWhenTheGatewayIsKilled) {
  GatewayProcess gateway(kNever, Ports());
  gateway.Kill();
  EXPECT_EQ(ReadSome(*left_, 30), "free left!free left!free left!");
  EXPECT_EQ(ReadSome(*right_, 15), "rightrightright");
  EXPECT_EQ(gateway.WatchdogExitStatus(), kWatchdogFreed);
  EXPECT_EQ(WhatIsLeft(*left_) + WhatIsLeft(*right_), "");
}

TEST_F(BusWatchdogTest, FreesTheBusesOfAGatewayThatStandsStillAndTellsItWhenItGoesOn) {
  GatewayProcess gateway(/*timeout_ms=*/100, Ports());
  gateway.Signal(SIGSTOP);
  EXPECT_EQ(ReadSome(*left_, 30), "free left!free left!free left!");
  EXPECT_EQ(ReadSome(*right_, 15), "rightrightright");
  gateway.Signal(SIGCONT);
  EXPECT_EQ(gateway.ReadLine(), "watchdog gone");
  EXPECT_THAT(gateway.Finish(), HasSubstr("it freed the buses"));
}

TEST_F(BusWatchdogTest, WritesNothingAfterAGoodbye) {
  GatewayProcess gateway(kNever, Ports());
  EXPECT_EQ(gateway.Finish(), "OK");
  EXPECT_EQ(WhatIsLeft(*left_) + WhatIsLeft(*right_), "");
}

TEST_F(BusWatchdogTest, FreesTheOtherBusesWhenOneIsUnplugged) {
  GatewayProcess gateway(kNever, Ports());
  left_->Unplug();
  gateway.Kill();
  EXPECT_EQ(ReadSome(*right_, 15), "rightrightright");
  EXPECT_EQ(gateway.WatchdogExitStatus(), kWatchdogNotFreed);
}

TEST_F(BusWatchdogTest, OutlivesTheSignalsThatEndItsGateway) {
  GatewayProcess gateway(kNever, Ports());
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    ASSERT_EQ(kill(gateway.watchdog(), number), 0);
  }
  gateway.Kill();
  EXPECT_EQ(ReadSome(*right_, 15), "rightrightright");
  EXPECT_EQ(gateway.WatchdogExitStatus(), kWatchdogFreed);
}

TEST_F(BusWatchdogTest, HoldsThePortsLockUntilItsBusesAreFree) {
  GatewayProcess gateway(kNever, Ports());
  ASSERT_EQ(kill(gateway.watchdog(), SIGSTOP), 0);
  gateway.Kill();
  EXPECT_THAT(SerialPort::Open({.path = right_->path()}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("holds it")));
  ASSERT_EQ(kill(gateway.watchdog(), SIGCONT), 0);
  EXPECT_EQ(ReadSome(*right_, 15), "rightrightright");
  EXPECT_EQ(gateway.WatchdogExitStatus(), kWatchdogFreed);
  EXPECT_OK(SerialPort::Open({.path = right_->path()}));
}

// The watchdog of a process that has died before it could give an order.
TEST_F(BusWatchdogTest, EndsWithoutAnOrder) {
  const pid_t pid = fork();
  if (pid == 0) {
    close(kWatchdogDescriptor);
    execl(std::getenv("BUS_WATCHDOG"), "demorl-bus-watchdog", nullptr);
    _exit(127);
  }
  int status = -1;
  waitpid(pid, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), kWatchdogNoOrder);
}

class BusWatchdogClientTest : public BusWatchdogTest {
 protected:
  void SetUp() override {
    BusWatchdogTest::SetUp();
    ASSERT_OK_AND_ASSIGN(port_, SerialPort::Open({.path = left_->path()}));
    options_ = {
        .program = std::getenv("BUS_WATCHDOG"),
        .order = {.timeout = absl::Seconds(60),
                  .ports = {{.name = "left", .descriptor = port_->descriptor(), .freeing_bytes = {1}}}}};
  }

  std::unique_ptr<SerialPort> port_;
  BusWatchdogClient::Options options_;
};

TEST_F(BusWatchdogClientTest, RefusesOrdersThatProtectNothing) {
  BusWatchdogClient::Options no_bytes = options_, no_ports = options_, hasty = options_, absent = options_;
  no_bytes.order.ports[0].freeing_bytes.clear();
  no_ports.order.ports.clear();
  hasty.order.timeout = absl::Milliseconds(1);
  absent.program = "/nowhere/demorl-bus-watchdog";
  EXPECT_THAT(BusWatchdogClient::Start(no_bytes),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("bus left is freed by 0 bytes")));
  EXPECT_THAT(BusWatchdogClient::Start(no_ports),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("for 0 buses")));
  EXPECT_THAT(BusWatchdogClient::Start(hasty),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1ms")));
  EXPECT_THAT(BusWatchdogClient::Start(absent),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nowhere/demorl-bus-watchdog")));
}

TEST_F(BusWatchdogClientTest, FreesTheBusesWhenItIsDestroyedWithoutGoodbye) {
  ASSERT_OK_AND_ASSIGN(auto client, BusWatchdogClient::Start(options_));
  client.reset();
  EXPECT_EQ(ReadSome(*left_, 3), "\1\1\1");
}

TEST_F(BusWatchdogClientTest, NoticesThatTheWatchdogWasKilled) {
  options_.order.timeout = absl::Milliseconds(50);  // a beat every 5 ms
  ASSERT_OK_AND_ASSIGN(auto client, BusWatchdogClient::Start(options_));
  kill(client->pid(), SIGKILL);
  const absl::Duration deadline = RealClock::Get().Now() + kPatience;
  while (client->Beat() && RealClock::Get().Now() < deadline) {
  }
  EXPECT_FALSE(client->Beat());
  EXPECT_THAT(client->Goodbye(), StatusIs(absl::StatusCode::kInternal, HasSubstr("did not end in peace")));
}

TEST_F(BusWatchdogClientTest, BeatAndRestAllocateNothing) {
  if (!CountsAllocations()) {
    GTEST_SKIP() << "the sanitizer has its own allocator";
  }
  ASSERT_OK_AND_ASSIGN(auto client, BusWatchdogClient::Start(options_));
  const int64_t before = NumAllocations();
  const bool alive = client->Beat() && client->Rest();
  EXPECT_EQ(NumAllocations() - before, 0);
  EXPECT_TRUE(alive);
  EXPECT_OK(client->Goodbye());
}

class WatchBeatsTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends_), 0); }
  void TearDown() override {
    close(ends_[0]);
    close(ends_[1]);
  }
  void Say(char word) { ASSERT_EQ(send(ends_[0], &word, 1, 0), 1); }

  int ends_[2] = {-1, -1};
};

TEST_F(WatchBeatsTest, DoesNotCountSilenceBeforeTheFirstBeat) {
  std::thread late([this] {
    absl::SleepFor(absl::Milliseconds(50));
    Say(kGoodbye);
  });
  EXPECT_EQ(WatchBeats(ends_[1], absl::Milliseconds(5)), WatchEnd::kGoodbye);
  late.join();
}

TEST_F(WatchBeatsTest, DoesNotCountSilenceWhileTheGatewayRests) {
  Say(kBeat);
  Say(kRest);
  std::thread late([this] {
    absl::SleepFor(absl::Milliseconds(50));
    Say(kGoodbye);
  });
  EXPECT_EQ(WatchBeats(ends_[1], absl::Milliseconds(5)), WatchEnd::kGoodbye);
  late.join();
}

TEST_F(WatchBeatsTest, CountsSilenceAgainAfterARest) {
  Say(kRest);
  Say(kBeat);
  EXPECT_EQ(WatchBeats(ends_[1], absl::Milliseconds(5)), WatchEnd::kSilent);
}

TEST_F(WatchBeatsTest, TakesSilenceAfterABeatForDeath) {
  Say(kBeat);
  EXPECT_EQ(WatchBeats(ends_[1], absl::Milliseconds(5)), WatchEnd::kSilent);
}

TEST_F(WatchBeatsTest, TakesAGoodbyeAmongBeatsForAnEnd) {
  Say(kBeat);
  Say(kBeat);
  Say(kGoodbye);
  close(std::exchange(ends_[0], -1));
  EXPECT_EQ(WatchBeats(ends_[1], absl::Seconds(60)), WatchEnd::kGoodbye);
}

TEST_F(WatchBeatsTest, TakesAClosedSocketForDeath) {
  Say(kBeat);
  close(std::exchange(ends_[0], -1));
  EXPECT_EQ(WatchBeats(ends_[1], absl::Seconds(60)), WatchEnd::kGone);
}

TEST_F(WatchBeatsTest, RefusesAMessageThatIsNoOrder) {
  Say(kBeat);
  EXPECT_THAT(ReceiveWatchdogOrder(ends_[1], RealClock::Get().Now() + kPatience),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1 bytes is no order")));
}

}  // namespace
}  // namespace demorl
