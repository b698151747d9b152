#pragma once

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/strip.h"
#include "gtest/gtest.h"

namespace demorl::testing {

// A program that a test speaks with, line by line. Killed at the end if it still runs.
class TestProgram {
 public:
  // What it writes to standard error is read as well where `joins_errors`, and else goes to the test's.
  explicit TestProgram(std::vector<std::string> arguments, bool joins_errors = false) {
    int input[2], output[2];
    EXPECT_EQ(pipe2(input, O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(output, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
    if (joins_errors) {
      posix_spawn_file_actions_adddup2(&actions, output[1], STDERR_FILENO);
    }
    std::vector<char*> pointers;
    for (std::string& argument : arguments) {
      pointers.push_back(argument.data());
    }
    pointers.push_back(nullptr);
    EXPECT_EQ(posix_spawn(&pid_, pointers[0], &actions, nullptr, pointers.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(input[0]);
    close(output[1]);
    input_ = input[1];
    output_ = fdopen(output[0], "r");
  }
  ~TestProgram() {
    if (pid_ > 0) {
      Kill();
    }
    CloseInput();
    fclose(output_);
  }

  TestProgram(const TestProgram&) = delete;
  TestProgram& operator=(const TestProgram&) = delete;

  // Without its end; empty once nobody writes any more.
  std::string ReadLine() {
    char text[512] = {};
    return fgets(text, sizeof(text), output_) == nullptr ? std::string()
                                                         : std::string(absl::StripSuffix(text, "\n"));
  }
  void Say(const std::string& line) {
    EXPECT_EQ(write(input_, (line + "\n").data(), line.size() + 1), line.size() + 1);
  }
  void CloseInput() {
    if (const int input = std::exchange(input_, -1); input >= 0) {
      close(input);
    }
  }
  void Signal(int number) { ASSERT_EQ(kill(pid_, number), 0); }
  void Kill() {
    Signal(SIGKILL);
    Wait();
  }
  void Wait() { waitpid(std::exchange(pid_, -1), nullptr, 0); }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int input_ = -1;
  FILE* output_ = nullptr;
};

}  // namespace demorl::testing
