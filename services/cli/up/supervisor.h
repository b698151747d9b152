#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace demorl {

// A program to keep running.
struct SupervisedProgram {
  std::string name;
  std::vector<std::string> command;
  // "NAME=value"; that of this process when empty.
  std::vector<std::string> environment;
  // Its standard output and error are appended here.
  std::filesystem::path log_file;
};

// Keeps programs running as child processes: starts them in order, restarts one that ends (after 0.2 s,
// doubling up to 5 s while it keeps failing), stops them in reverse order. Children end when the supervisor
// dies. One owner thread.
class Supervisor {
 public:
  using Note = void (*)(const std::string& text);

  Supervisor(std::vector<SupervisedProgram> programs, Note note);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  absl::Status StartAll();

  // Notices children that ended and starts those whose pause is over. Never blocks. FAILED_PRECONDITION once
  // a program has failed within 5 s of its start five times in a row, with what it said last.
  absl::Status Tend();

  // SIGTERM in reverse order, each given `timeout` before SIGKILL. The first program that did not exit 0.
  absl::Status StopAll(absl::Duration timeout);

  // Process ids of the running children, by name.
  std::map<std::string, int> ProcessIds() const;

  // CPU seconds of each program over all its processes so far.
  std::vector<std::pair<std::string, double>> CpuSeconds() const;

  int num_restarts() const { return num_restarts_; }

 private:
  struct Child {
    SupervisedProgram program;
    int pid = -1;
    absl::Time started = absl::InfinitePast();
    absl::Time restart_at = absl::InfiniteFuture();
    absl::Duration pause = absl::Milliseconds(200);
    int quick_failures = 0;
    // Of the log when the process was started.
    int64_t earlier_log_bytes = 0;
    double earlier_cpu_seconds = 0;
  };

  absl::Status StartChild(Child& child);
  absl::Status HandleExit(Child& child, int wait_status);

  std::vector<Child> children_;
  Note note_;
  int num_restarts_ = 0;
};

}  // namespace demorl
