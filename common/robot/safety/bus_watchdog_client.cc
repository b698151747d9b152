#include "common/robot/safety/bus_watchdog_client.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "common/robot/transport/descriptor_io.h"

namespace demorl {
namespace {

constexpr char kProgram[] = "demorl-bus-watchdog";
constexpr absl::Duration kReadyTimeout = absl::Seconds(2);
constexpr absl::Duration kExitTimeout = absl::Seconds(1);
constexpr absl::Duration kExitPollPeriod = absl::Milliseconds(2);

std::string ProgramBesideOurs() {
  std::error_code ignored;
  return (std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path() / kProgram).string();
}

// In a session of its own, so that the terminal's Ctrl-C reaches the gateway alone, and without the signals
// that the gateway blocks.
absl::StatusOr<pid_t> Spawn(const std::string& program, int socket) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, socket, kWatchdogDescriptor);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  std::string name = kProgram;
  std::array<char*, 2> arguments = {name.data(), nullptr};
  pid_t pid = -1;
  const int error = posix_spawn(&pid, program.c_str(), &actions, &attributes, arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return absl::NotFoundError(
        absl::StrCat("cannot start the bus watchdog ", program, ": ", strerror(error)));
  }
  return pid;
}

}  // namespace

absl::StatusOr<std::unique_ptr<BusWatchdogClient>> BusWatchdogClient::Start(const Options& options) {
  RETURN_IF_ERROR(CheckWatchdogOrder(options.order));
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) {
    return absl::UnavailableError(absl::StrCat("no sockets for the bus watchdog: ", strerror(errno)));
  }
  const absl::StatusOr<pid_t> pid =
      Spawn(options.program.empty() ? ProgramBesideOurs() : options.program, sockets[1]);
  // Only the watchdog may hold its end: its death must show here.
  close(sockets[1]);
  if (!pid.ok()) {
    close(sockets[0]);
    return pid.status();
  }
  std::unique_ptr<BusWatchdogClient> client(
      new BusWatchdogClient(sockets[0], *pid, options.order.timeout / 10));
  RETURN_IF_ERROR(SendWatchdogOrder(sockets[0], options.order));
  RETURN_IF_ERROR(client->AwaitReady());
  return client;
}

absl::Status BusWatchdogClient::AwaitReady() {
  std::array<char, 4096> answer;
  const bool readable = WaitReadable(socket_, RealClock::Get().Now() + kReadyTimeout).ok();
  const ssize_t size = readable ? recv(socket_, answer.data(), answer.size(), MSG_DONTWAIT) : -1;
  if (size < 1 || answer[0] != kReady) {
    lost_ = true;
    return absl::UnavailableError(
        size > 1 ? absl::StrCat("the bus watchdog refuses: ", absl::string_view(answer.data() + 1, size - 1))
                 : "the bus watchdog does not come up");
  }
  if (size > 1) {
    degraded_ = absl::StrSplit(absl::string_view(answer.data() + 1, size - 1), '\n');
  }
  return absl::OkStatus();
}

bool BusWatchdogClient::Say(char word) {
  const absl::Duration now = RealClock::Get().Now();
  if (lost_ || (word == last_said_ && now - last_said_at_ < beat_period_)) {
    return !lost_;
  }
  // A full buffer is a watchdog that has not read for seconds: as good as none.
  lost_ = send(socket_, &word, 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1;
  last_said_ = word;
  last_said_at_ = now;
  return !lost_;
}

absl::Status BusWatchdogClient::Goodbye() {
  const bool said = send(socket_, &kGoodbye, 1, MSG_NOSIGNAL) == 1;
  const int status = AwaitExit();
  ended_ = true;
  if (said && WIFEXITED(status) && WEXITSTATUS(status) == kWatchdogGoodbye) {
    return absl::OkStatus();
  }
  const bool freed = WIFEXITED(status) && WEXITSTATUS(status) == kWatchdogFreed;
  return absl::InternalError(
      freed ? "the bus watchdog had ended before the goodbye: it freed the buses"
            : absl::StrCat("the bus watchdog did not end in peace (wait status ", status, ")"));
}

int BusWatchdogClient::AwaitExit() {
  const absl::Duration deadline = RealClock::Get().Now() + kExitTimeout;
  int status = -1;
  while (waitpid(pid_, &status, WNOHANG) == 0 && RealClock::Get().Now() < deadline) {
    absl::SleepFor(kExitPollPeriod);
  }
  return status;
}

BusWatchdogClient::~BusWatchdogClient() {
  close(socket_);
  if (!ended_) {
    AwaitExit();
  }
}

}  // namespace demorl
