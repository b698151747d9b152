#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace demorl::testing {

// demorl-replay as a child; its log tells the port.
class ReplayProcess {
 public:
  ReplayProcess(const std::filesystem::path& config, int port) {
    int pipe_fds[2];
    EXPECT_EQ(pipe(pipe_fds), 0);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(pipe_fds[1], STDERR_FILENO);
      close(pipe_fds[0]);
      close(pipe_fds[1]);
      const std::string port_flag = absl::StrCat("--port=", port);
      execl(DEMORL_REPLAY_BINARY, DEMORL_REPLAY_BINARY, "--config", config.c_str(), port_flag.c_str(),
            nullptr);
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
  ~ReplayProcess() {
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
