#include "services/robot_gateway/bench_child.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/file_io.h"

namespace demorl {

absl::StatusOr<BenchChild> BenchChild::Start(const std::vector<std::string>& arguments,
                                             const std::filesystem::path& output) {
  std::vector<char*> pointers;
  for (const std::string& argument : arguments) {
    pointers.push_back(const_cast<char*>(argument.c_str()));
  }
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                   0600);
  posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  pid_t pid = -1;
  const int error_number = posix_spawnp(&pid, pointers[0], &actions, nullptr, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error_number != 0) {
    return absl::NotFoundError(absl::StrCat("cannot start ", arguments[0], ": ", strerror(error_number),
                                            "; tools/bench robot installs what it needs"));
  }
  return BenchChild(arguments[0], pid, output);
}

BenchChild::BenchChild(BenchChild&& other) noexcept
    : name_(std::move(other.name_)),
      pid_(std::exchange(other.pid_, -1)),
      wait_status_(other.wait_status_),
      output_(std::move(other.output_)) {}

bool BenchChild::IsRunning() {
  if (pid_ != -1 && waitpid(pid_, &wait_status_, WNOHANG) == pid_) {
    pid_ = -1;
  }
  return pid_ != -1;
}

void BenchChild::Kill() {
  if (!IsRunning()) {
    return;
  }
  kill(pid_, SIGKILL);
  while (waitpid(pid_, &wait_status_, 0) == -1 && errno == EINTR) {
  }
  pid_ = -1;
}

absl::Status BenchChild::Result() const {
  if (pid_ == -1 && WIFEXITED(wait_status_) && WEXITSTATUS(wait_status_) == 0) {
    return absl::OkStatus();
  }
  const std::string printed = ReadFile(output_).value_or("");
  return absl::InternalError(absl::StrCat(
      name_, " did not end well: ", printed.substr(printed.size() - std::min<size_t>(printed.size(), 500))));
}

}  // namespace demorl
