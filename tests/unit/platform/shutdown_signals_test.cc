#include "common/rpc/shutdown_signals.h"

#include <signal.h>
#include <unistd.h>

#include <cstdlib>

#include "gtest/gtest.h"

namespace demorl {
namespace {

// Until the thread of the signals has taken it.
void SendSignal(int signal) {
  ::kill(::getpid(), signal);
  sigset_t pending;
  do {
    sigpending(&pending);
  } while (sigismember(&pending, signal) == 1);
}

class ShutdownSignalsDeathTest : public ::testing::Test {
 protected:
  ShutdownSignalsDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(ShutdownSignalsDeathTest, SignalsOfOneRequestAreOne) {
  const auto ask = [] {
    BlockShutdownSignals();
    int requests = 0;
    {
      const ShutdownSignals signals([&requests](int) { ++requests; }, absl::InfiniteDuration());
      SendSignal(SIGTERM);
      SendSignal(SIGINT);  // once the next one is taken, this one has had its effect
      SendSignal(SIGTERM);
    }
    std::_Exit(requests);
  };
  EXPECT_EXIT(ask(), ::testing::ExitedWithCode(1), "");
}

TEST_F(ShutdownSignalsDeathTest, ALaterSignalEndsTheProcessAtOnce) {
  const auto ask = [] {
    BlockShutdownSignals();
    const ShutdownSignals signals([](int) {}, absl::ZeroDuration());
    SendSignal(SIGTERM);
    SendSignal(SIGINT);
    SendSignal(SIGTERM);  // is never taken
    std::_Exit(0);
  };
  EXPECT_EXIT(ask(), ::testing::ExitedWithCode(128 + SIGINT), "");
}

}  // namespace
}  // namespace demorl
