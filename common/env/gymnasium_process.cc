#include "common/env/gymnasium_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

// Exit status of demorl.actor for an id that Gymnasium does not know.
constexpr int kUnknownEnvironment = 3;

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

absl::StatusOr<std::string> FindPython() {
  std::string python = Variable("DEMORL_PYTHON");
  if (python.empty()) {
    std::string cache = Variable("DEMORL_CACHE_DIR");
    if (cache.empty()) {
      const std::string base = Variable("XDG_CACHE_HOME");
      cache = absl::StrCat(base.empty() ? absl::StrCat(Variable("HOME"), "/.cache") : base, "/demorl");
    }
    python = absl::StrCat(cache, "/venv/bin/python");
  }
  if (access(python.c_str(), X_OK) != 0) {
    return absl::NotFoundError(absl::StrCat("no Python at ", python,
                                            ", needed for environments that are not native; run tools/setup "
                                            "or name one in DEMORL_PYTHON"));
  }
  return python;
}

absl::StatusOr<std::string> FindPackage() {
  std::error_code error;
  std::filesystem::path folder = Variable("DEMORL_PYTHON_PACKAGE");
  if (folder.empty()) {
    const std::filesystem::path executable = std::filesystem::read_symlink("/proc/self/exe", error);
    folder = executable.parent_path().parent_path() / "share" / "demorl" / "python";
  }
  if (!std::filesystem::exists(folder / "demorl" / "actor.py", error)) {
    return absl::NotFoundError(absl::StrCat("no Python package demorl in ", folder.string(),
                                            "; expected there, or where DEMORL_PYTHON_PACKAGE says"));
  }
  return folder.string();
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& text : strings) {
    pointers.push_back(text.data());
  }
  pointers.push_back(nullptr);
  return pointers;
}

struct Finished {
  int exit_status = 0;
  std::string output;
  std::string errors;
};

// A child with its standard output and error on pipes; killed and reaped at the latest by the destructor.
class Child {
 public:
  Child() = default;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    for (const int descriptor : {read_[0], read_[1]}) {
      if (descriptor >= 0) {
        close(descriptor);
      }
    }
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
  }

  absl::Status Start(GymnasiumCommand command) {
    int write[2] = {-1, -1};
    for (int i = 0; i < 2; ++i) {
      int ends[2];
      if (pipe2(ends, O_CLOEXEC) != 0) {
        return absl::ResourceExhaustedError(absl::StrCat("cannot make a pipe: ", std::strerror(errno)));
      }
      read_[i] = ends[0];
      write[i] = ends[1];
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, write[0], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, write[1], STDERR_FILENO);
    const std::string program = command.arguments.front();
    const int error = posix_spawn(&pid_, program.c_str(), &actions, nullptr,
                                  Pointers(command.arguments).data(), Pointers(command.environment).data());
    posix_spawn_file_actions_destroy(&actions);
    close(write[0]);
    close(write[1]);
    if (error != 0) {
      pid_ = -1;
      return absl::InternalError(absl::StrCat("cannot start ", program, ": ", std::strerror(error)));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<Finished> Wait(absl::Time deadline) {
    Finished finished;
    std::string* const texts[2] = {&finished.output, &finished.errors};
    bool open[2] = {true, true};
    while (open[0] || open[1]) {
      pollfd waiting[2] = {{open[0] ? read_[0] : -1, POLLIN, 0}, {open[1] ? read_[1] : -1, POLLIN, 0}};
      const int64_t left_ms = absl::ToInt64Milliseconds(deadline - absl::Now());
      if (left_ms <= 0) {
        return absl::DeadlineExceededError("Python did not answer in time");
      }
      poll(waiting, 2, static_cast<int>(std::min<int64_t>(left_ms, 60'000)));
      for (int i = 0; i < 2; ++i) {
        if (waiting[i].revents != 0) {
          open[i] = ReadSome(read_[i], texts[i]);
        }
      }
    }
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    finished.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return finished;
  }

 private:
  static bool ReadSome(int descriptor, std::string* text) {
    char buffer[4096];
    const ssize_t count = read(descriptor, buffer, sizeof(buffer));
    if (count > 0) {
      text->append(buffer, count);
    }
    return count > 0 || (count < 0 && errno == EINTR);
  }

  pid_t pid_ = -1;
  int read_[2] = {-1, -1};
};

bool ParseNumbers(absl::string_view text, std::vector<double>* values) {
  for (const absl::string_view word : absl::StrSplit(text, ' ', absl::SkipEmpty())) {
    if (!absl::SimpleAtod(word, &values->emplace_back())) {
      return false;
    }
  }
  return true;
}

// Lines of a key and its values.
absl::StatusOr<EnvironmentSpec> ParseDescription(const std::string& text) {
  std::map<std::string, std::string> fields;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::pair<std::string, std::string> field = absl::StrSplit(line, absl::MaxSplits(' ', 1));
    fields.insert(field);
  }
  EnvironmentSpec spec;
  spec.environment_id = fields["environment_id"];
  double control_period_s = 0;
  const bool parsed = absl::SimpleAtoi(fields["observation_size"], &spec.observation_size) &&
                      absl::SimpleAtoi(fields["action_size"], &spec.action_size) &&
                      absl::SimpleAtoi(fields["max_episode_steps"], &spec.max_episode_steps) &&
                      absl::SimpleAtod(fields["control_period_s"], &control_period_s) &&
                      ParseNumbers(fields["command_minimum"], &spec.command_minimum) &&
                      ParseNumbers(fields["command_maximum"], &spec.command_maximum);
  spec.control_period = absl::Seconds(control_period_s);
  if (!parsed || spec.SchemaHash() != fields["schema_hash"]) {
    return absl::InternalError(absl::StrCat("cannot read what demorl.actor --describe printed: ", text));
  }
  return spec;
}

// What demorl.actor says of a failure: its last line, without its name.
std::string LastLine(absl::string_view errors) {
  errors = absl::StripSuffix(errors, "\n");
  const absl::string_view line = errors.substr(errors.find_last_of('\n') + 1);
  return std::string(absl::StripPrefix(line, "demorl.actor: "));
}

}  // namespace

absl::StatusOr<GymnasiumCommand> MakeGymnasiumCommand(const std::vector<std::string>& arguments) {
  GymnasiumCommand command;
  ASSIGN_OR_RETURN(const std::string python, FindPython());
  ASSIGN_OR_RETURN(std::string python_path, FindPackage());
  command.arguments = {python, "-m", "demorl.actor"};
  command.arguments.insert(command.arguments.end(), arguments.begin(), arguments.end());
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (absl::StartsWith(*variable, "PYTHONPATH=")) {
      absl::StrAppend(&python_path, ":", *variable + std::strlen("PYTHONPATH="));
    } else {
      command.environment.push_back(*variable);
    }
  }
  command.environment.push_back(absl::StrCat("PYTHONPATH=", python_path));
  command.environment.push_back("PYTHONDONTWRITEBYTECODE=1");
  return command;
}

absl::StatusOr<EnvironmentSpec> DescribeGymnasiumEnvironment(absl::string_view environment_id,
                                                             absl::Duration timeout) {
  ASSIGN_OR_RETURN(GymnasiumCommand command,
                   MakeGymnasiumCommand({absl::StrCat("--environment=", environment_id), "--describe=text"}));
  Child child;
  RETURN_IF_ERROR(child.Start(std::move(command)));
  ASSIGN_OR_RETURN(const Finished finished, child.Wait(absl::Now() + timeout));
  if (finished.exit_status == kUnknownEnvironment) {
    return absl::NotFoundError(LastLine(finished.errors));
  }
  if (finished.exit_status != 0) {
    return absl::InvalidArgumentError(LastLine(finished.errors));
  }
  return ParseDescription(finished.output);
}

}  // namespace demorl
