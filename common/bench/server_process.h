#pragma once

#include <cstdio>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"

namespace demorl {

// The program of this name that was built beside the benchmark.
std::string Beside(const std::string& name);

// What /proc says of a process.
struct ProcessFigures {
  int64_t resident_bytes = 0;
  int threads = 0;
  int open_files = 0;
  absl::Duration cpu;
};

// A server beside the benchmark, started by a shell command; its output tells the port. Destroying it ends
// it.
class ServerProcess {
 public:
  explicit ServerProcess(const std::string& command);
  ~ServerProcess();

  // 0 if it did not start.
  int port() const { return port_; }
  ProcessFigures Figures() const;

 private:
  FILE* output_;
  int pid_ = 0;
  int port_ = 0;
  std::thread reader_;
};

// Processes that print lines of words, and end by themselves.
class WorkerProcesses {
 public:
  explicit WorkerProcesses(const std::vector<std::string>& commands);
  // All their lines; empty with a message on stderr if one failed.
  std::vector<std::vector<std::string>> ReadAll();

 private:
  std::vector<FILE*> outputs_;
};

}  // namespace demorl
