#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace demorl::testing {

// One of our services as a child; its log tells the port.
class ServiceProcess {
 public:
  ServiceProcess(const std::string& binary, const std::vector<std::string>& arguments) {
    int pipe_fds[2];
    EXPECT_EQ(pipe(pipe_fds), 0);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(pipe_fds[1], STDERR_FILENO);
      close(pipe_fds[0]);
      close(pipe_fds[1]);
      std::vector<char*> argv = {const_cast<char*>(binary.c_str())};
      for (const std::string& argument : arguments) {
        argv.push_back(const_cast<char*>(argument.c_str()));
      }
      argv.push_back(nullptr);
      execv(binary.c_str(), argv.data());
      _exit(127);
    }
    close(pipe_fds[1]);
    log_ = fdopen(pipe_fds[0], "r");
    port_ = ReadPort();
    reader_ = std::thread([this] {
      while (!ReadLine().empty()) {
      }
    });
  }
  ~ServiceProcess() {
    if (pid_ > 0) {
      Signal(SIGKILL);
    }
    reader_.join();
    fclose(log_);
  }

  // Sends the signal and waits for the end; the exit status, or minus the signal that ended it.
  int Signal(int number) {
    kill(pid_, number);
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  int port() const { return port_; }

 private:
  std::string ReadLine() {
    char line[4096];
    return fgets(line, sizeof(line), log_) == nullptr ? "" : line;
  }
  int ReadPort() {
    std::string all;
    for (std::string line = ReadLine(); !line.empty(); line = ReadLine()) {
      all += line;
      const size_t found = line.find("(port ");
      int port = 0;
      if (found != std::string::npos &&
          absl::SimpleAtoi(line.substr(found + 6, line.find(')', found) - found - 6), &port)) {
        return port;
      }
    }
    ADD_FAILURE() << "the server did not start:\n" << all;
    return 0;
  }

  pid_t pid_ = 0;
  FILE* log_ = nullptr;
  int port_ = 0;
  std::thread reader_;
};

}  // namespace demorl::testing
