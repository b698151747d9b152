#include "services/bus_watchdog/core/bus_watchdog.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <optional>
#include <span>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "common/robot/realtime/realtime_thread.h"
#include "common/robot/transport/descriptor_io.h"

namespace demorl {
namespace {

constexpr absl::Duration kOrderTimeout = absl::Seconds(5);
constexpr int kNumRounds = 3;
constexpr absl::Duration kRoundPeriod = absl::Milliseconds(20);

absl::Duration Now() { return RealClock::Get().Now(); }

struct Heard {
  // The last of kBeat and kRest; 0 for neither.
  char word = 0;
  std::optional<WatchEnd> end;
};

// Takes all that the gateway has said.
Heard Listen(int socket) {
  Heard heard;
  for (;;) {
    char word = 0;
    const ssize_t size = recv(socket, &word, 1, MSG_DONTWAIT);
    if (size == 1 && (word == kBeat || word == kRest)) {
      heard.word = word;
    } else if (size == 1 && word == kGoodbye) {
      heard.end = WatchEnd::kGoodbye;
      return heard;
    } else if (size < 0 && errno == EAGAIN) {
      return heard;
    } else if (size <= 0 && errno != EINTR) {
      heard.end = WatchEnd::kGone;
      return heard;
    }
  }
}

bool WriteAll(const WatchedPort& port, absl::Duration deadline) {
  std::span<const uint8_t> left = port.freeing_bytes;
  while (!left.empty()) {
    const IoResult written = WriteDescriptor(port.descriptor, left);
    if (written.ok()) {
      left = left.subspan(written.num_bytes);
    } else if (written.code != IoResult::Code::kTimedOut || Now() >= deadline) {
      return false;
    } else {
      pollfd poller{.fd = port.descriptor, .events = POLLOUT};
      poll(&poller, 1, 1);
    }
  }
  return true;
}

void Answer(int socket, char kind, const std::string& text) {
  const std::string answer = absl::StrCat(std::string(1, kind), text);
  send(socket, answer.data(), answer.size(), MSG_NOSIGNAL);
}

void OutliveTheGateway() {
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE}) {
    std::signal(number, SIG_IGN);
  }
}

std::string Names(const std::vector<WatchedPort>& ports) {
  return absl::StrJoin(ports, ", ",
                       [](std::string* out, const WatchedPort& port) { absl::StrAppend(out, port.name); });
}

}  // namespace

WatchEnd WatchBeats(int socket, absl::Duration timeout) {
  absl::Duration deadline = absl::InfiniteDuration();
  for (;;) {
    WaitReadable(socket, deadline);
    // Looked at before what was heard: of a watchdog that was itself kept from running, the beats that waited
    // for it count.
    const absl::Duration now = Now();
    const Heard heard = Listen(socket);
    if (heard.end) {
      return *heard.end;
    }
    if (heard.word != 0) {
      deadline = heard.word == kRest ? absl::InfiniteDuration() : Now() + timeout;
    } else if (now >= deadline) {
      return WatchEnd::kSilent;
    }
  }
}

absl::Status FreeBuses(const std::vector<WatchedPort>& ports) {
  std::vector<bool> taken(ports.size(), false);
  absl::Duration next = Now();
  for (int round = 0; round < kNumRounds; ++round) {
    next += kRoundPeriod;
    for (size_t i = 0; i < ports.size(); ++i) {
      taken[i] = WriteAll(ports[i], next) || taken[i];
    }
    if (round + 1 < kNumRounds) {
      absl::SleepFor(next - Now());
    }
  }
  std::vector<std::string> failed;
  for (size_t i = 0; i < ports.size(); ++i) {
    if (!taken[i]) {
      failed.push_back(ports[i].name);
    }
  }
  return failed.empty()
             ? absl::OkStatus()
             : absl::UnavailableError(absl::StrCat("could not write to ", absl::StrJoin(failed, ", ")));
}

int RunBusWatchdog(int socket) {
  OutliveTheGateway();
  const absl::StatusOr<WatchdogOrder> order = ReceiveWatchdogOrder(socket, Now() + kOrderTimeout);
  if (!order.ok()) {
    Answer(socket, kRefusal, std::string(order.status().message()));
    std::fprintf(stderr, "bus watchdog: %s; a gateway starts this program, not a person\n",
                 std::string(order.status().message()).c_str());
    return kWatchdogNoOrder;
  }
  const RealtimeReport report = BecomeRealtime({.priority = order->realtime_priority});
  Answer(socket, kReady, absl::StrJoin(report.degraded, "\n"));
  const WatchEnd end = WatchBeats(socket, order->timeout);
  if (end == WatchEnd::kGoodbye) {
    return kWatchdogGoodbye;
  }
  const absl::Status freed = FreeBuses(order->ports);
  const std::string outcome = freed.ok() ? absl::StrCat("freed the motors on ", Names(order->ports))
                                         : absl::StrCat(freed.message(), "; the other buses are free");
  std::fprintf(stderr, "bus watchdog: the gateway %s; %s\n",
               end == WatchEnd::kGone ? "has died" : "stands still", outcome.c_str());
  return freed.ok() ? kWatchdogFreed : kWatchdogNotFreed;
}

}  // namespace demorl
