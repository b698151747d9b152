#include "services/cli/up/supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

constexpr absl::Duration kFirstPause = absl::Milliseconds(200);
constexpr absl::Duration kLongestPause = absl::Seconds(5);
constexpr absl::Duration kQuickFailure = absl::Seconds(5);
constexpr absl::Duration kHealthyRun = absl::Seconds(30);
constexpr int kMaxQuickFailures = 5;

std::string DescribeExit(int wait_status) {
  if (WIFSIGNALED(wait_status)) {
    return absl::StrCat("was ended by signal ", WTERMSIG(wait_status));
  }
  return absl::StrCat("exited with status ", WEXITSTATUS(wait_status));
}

// What a program said last, after the first `earlier_bytes` of its log; empty if it has said nothing.
std::string LastLine(const std::filesystem::path& log_file, int64_t earlier_bytes) {
  constexpr std::streamoff kEndBytes = 4096;
  std::ifstream log(log_file, std::ios::binary | std::ios::ate);
  log.seekg(std::max<std::streamoff>(earlier_bytes, static_cast<std::streamoff>(log.tellg()) - kEndBytes));
  std::string last;
  for (std::string line; std::getline(log, line);) {
    if (!line.empty()) {
      last = line;
    }
  }
  return last;
}

// Runs in the child between fork and exec: async-signal-safe calls only.
[[noreturn]] void ExecChild(char* const* arguments, char* const* environment, int log_fd, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) {
    _exit(127);  // the supervisor died in between
  }
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setpgid(0, 0);  // Ctrl-C reaches the supervisor alone, which stops children in order
  dup2(log_fd, STDOUT_FILENO);
  dup2(log_fd, STDERR_FILENO);
  execve(arguments[0], arguments, environment);
  _exit(127);
}

// The null-terminated form that exec wants; valid while `strings` is unchanged.
std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& text : strings) {
    pointers.push_back(text.data());
  }
  pointers.push_back(nullptr);
  return pointers;
}

double ProcessCpuSeconds(int pid) {
  const absl::StatusOr<std::string> stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"));
  if (!stat.ok()) {
    return 0;
  }
  // Fields after the command name, which may hold spaces: utime and stime are the 12th and 13th.
  const std::vector<std::string> fields = absl::StrSplit(stat->substr(stat->rfind(')') + 2), ' ');
  double user = 0, system = 0;
  if (fields.size() < 13 || !absl::SimpleAtod(fields[11], &user) || !absl::SimpleAtod(fields[12], &system)) {
    return 0;
  }
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace

Supervisor::Supervisor(std::vector<SupervisedProgram> programs, Note note) : note_(note) {
  for (SupervisedProgram& program : programs) {
    children_.push_back({.program = std::move(program)});
  }
}

Supervisor::~Supervisor() { StopAll(absl::Seconds(5)).IgnoreError(); }

absl::Status Supervisor::StartAll() {
  for (Child& child : children_) {
    RETURN_IF_ERROR(StartChild(child));
  }
  return absl::OkStatus();
}

absl::Status Supervisor::StartChild(Child& child) {
  const std::filesystem::path& log = child.program.log_file;
  const int log_fd = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log_fd < 0) {
    return ErrnoToStatus(errno, "open", log);
  }
  if (::access(child.program.command[0].c_str(), X_OK) != 0) {
    ::close(log_fd);
    return ErrnoToStatus(errno, "run", child.program.command[0]);
  }
  const std::vector<char*> arguments = Pointers(child.program.command);
  const std::vector<char*> environment = Pointers(child.program.environment);
  std::error_code unknown;
  child.earlier_log_bytes = static_cast<int64_t>(std::filesystem::file_size(log, unknown));
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) {
    ExecChild(arguments.data(), child.program.environment.empty() ? environ : environment.data(), log_fd,
              parent);
  }
  const int fork_error = errno;
  ::close(log_fd);
  if (pid < 0) {
    return ErrnoToStatus(fork_error, "fork for", child.program.command[0]);
  }
  child.pid = pid;
  child.started = absl::Now();
  child.restart_at = absl::InfiniteFuture();
  return absl::OkStatus();
}

absl::Status Supervisor::HandleExit(Child& child, int wait_status) {
  const absl::Duration lived = absl::Now() - child.started;
  child.pid = -1;
  child.quick_failures = lived < kQuickFailure ? child.quick_failures + 1 : 0;
  const std::string last_line = LastLine(child.program.log_file, child.earlier_log_bytes);
  const std::string said = last_line.empty() ? "" : absl::StrCat(", last saying: ", last_line);
  if (child.quick_failures >= kMaxQuickFailures) {
    return absl::FailedPreconditionError(absl::StrCat(child.program.name, " ", DescribeExit(wait_status),
                                                      " within ", absl::FormatDuration(kQuickFailure),
                                                      " of its start ", kMaxQuickFailures, " times", said,
                                                      " (log: ", child.program.log_file.string(), ")"));
  }
  if (lived > kHealthyRun) {
    child.pause = kFirstPause;
  }
  note_(absl::StrCat(child.program.name, " ", DescribeExit(wait_status), said,
                     " (log: ", child.program.log_file.string(), "); starting it again in ",
                     absl::FormatDuration(child.pause)));
  child.restart_at = absl::Now() + child.pause;
  child.pause = std::min(child.pause * 2, kLongestPause);
  return absl::OkStatus();
}

absl::Status Supervisor::Tend() {
  for (Child& child : children_) {
    if (child.pid > 0) {
      int wait_status = 0;
      rusage usage{};
      if (::wait4(child.pid, &wait_status, WNOHANG, &usage) == child.pid) {
        child.earlier_cpu_seconds += absl::ToDoubleSeconds(absl::DurationFromTimeval(usage.ru_utime) +
                                                           absl::DurationFromTimeval(usage.ru_stime));
        RETURN_IF_ERROR(HandleExit(child, wait_status));
      }
    } else if (absl::Now() >= child.restart_at) {
      ++num_restarts_;
      RETURN_IF_ERROR(StartChild(child));
    }
  }
  return absl::OkStatus();
}

absl::Status Supervisor::StopAll(absl::Duration timeout) {
  absl::Status first_failure;
  for (auto child = children_.rbegin(); child != children_.rend(); ++child) {
    if (child->pid <= 0) {
      continue;
    }
    ::kill(child->pid, SIGTERM);
    const absl::Time deadline = absl::Now() + timeout;
    int wait_status = 0;
    // waitpid has no deadline of its own; the pause between two looks is short against the drain.
    while (::waitpid(child->pid, &wait_status, WNOHANG) == 0) {
      if (absl::Now() > deadline) {
        ::kill(child->pid, SIGKILL);
        ::waitpid(child->pid, &wait_status, 0);
        break;
      }
      absl::SleepFor(absl::Milliseconds(10));
    }
    child->pid = -1;
    if (wait_status != 0 && first_failure.ok()) {
      first_failure =
          absl::InternalError(absl::StrCat(child->program.name, " ", DescribeExit(wait_status),
                                           " when it was stopped; see ", child->program.log_file.string()));
    }
  }
  return first_failure;
}

std::map<std::string, int> Supervisor::ProcessIds() const {
  std::map<std::string, int> ids;
  for (const Child& child : children_) {
    if (child.pid > 0) {
      ids[child.program.name] = child.pid;
    }
  }
  return ids;
}

std::vector<std::pair<std::string, double>> Supervisor::CpuSeconds() const {
  std::vector<std::pair<std::string, double>> seconds;
  for (const Child& child : children_) {
    const double running = child.pid > 0 ? ProcessCpuSeconds(child.pid) : 0;
    seconds.emplace_back(child.program.name, child.earlier_cpu_seconds + running);
  }
  return seconds;
}

}  // namespace demorl
