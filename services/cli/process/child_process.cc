#include "services/cli/process/child_process.h"

#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

extern char** environ;

namespace demorl {
namespace {

constexpr size_t kMaxOutputBytes = 4000;

std::string ReadOutput(int descriptor) {
  std::string output(kMaxOutputBytes, '\0');
  const ssize_t size = pread(descriptor, output.data(), output.size(), 0);
  output.resize(size > 0 ? size : 0);
  return std::string(absl::StripAsciiWhitespace(output));
}

// Signals are back to their defaults in the child: a service blocks them for its own use.
int Spawn(const std::vector<std::string>& arguments, int input, int output, pid_t* pid) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  const int error = posix_spawnp(pid, argv[0], &actions, &attributes, argv.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

}  // namespace

ChildProcess::ChildProcess(std::string name, pid_t pid, int input, int output)
    : name_(std::move(name)), pid_(pid), input_(input), output_(output) {}

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(const std::vector<std::string>& arguments) {
  // A socket rather than a pipe: writing to a program that has ended is then an error, not a signal.
  std::array<int, 2> input{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, input.data()) != 0) {
    return absl::ErrnoToStatus(errno, "cannot make a socket pair");
  }
  const int output = memfd_create("output", MFD_CLOEXEC);
  pid_t pid = -1;
  const int error = output < 0 ? errno : Spawn(arguments, input[1], output, &pid);
  close(input[1]);
  if (error != 0) {
    close(input[0]);
    close(output);
    const std::string message = absl::StrCat("cannot start '", arguments[0], "': ", strerror(error));
    return error == ENOENT ? absl::NotFoundError(message) : absl::InternalError(message);
  }
  return std::unique_ptr<ChildProcess>(new ChildProcess(arguments[0], pid, input[0], output));
}

ChildProcess::~ChildProcess() {
  if (input_ >= 0) {
    close(input_);
  }
  if (pid_ >= 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  close(output_);
}

absl::Status ChildProcess::Write(absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(input_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno != EINTR) {
      return absl::InternalError(absl::StrCat("'", name_, "' takes no more input: ", strerror(errno)));
    }
    bytes.remove_prefix(sent > 0 ? sent : 0);
  }
  return absl::OkStatus();
}

absl::Status ChildProcess::Finish() {
  if (input_ >= 0) {
    close(input_);
    input_ = -1;
  }
  if (pid_ < 0) {
    return absl::FailedPreconditionError(absl::StrCat("'", name_, "' has ended before"));
  }
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
    return absl::OkStatus();
  }
  const std::string how = WIFEXITED(status) ? absl::StrCat("exit status ", WEXITSTATUS(status))
                                            : absl::StrCat("signal ", WTERMSIG(status));
  return absl::InternalError(absl::StrCat("'", name_, "' failed (", how, "): ", ReadOutput(output_)));
}

}  // namespace demorl
