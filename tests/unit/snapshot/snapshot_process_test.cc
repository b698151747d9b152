// The program demorl-snapshot: what its operator and its supervisor see.

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/file_io.h"
#include "common/policy/safetensors.h"
#include "common/rpc/channel_factory.h"
#include "gmock/gmock.h"
#include "services/snapshot/snapshot_client.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/platform/health_probe.h"

extern char** environ;

namespace demorl {
namespace {

using ::demorl::testing::HealthOf;
using ::demorl::testing::kServing;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr auto kPolicy = demorl::snapshot::v1::SNAPSHOT_KIND_POLICY;

// A child process whose log is read line by line.
class Process {
 public:
  explicit Process(std::vector<std::string> arguments) {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    std::vector<char*> argv;
    for (std::string& argument : arguments) {
      argv.push_back(argument.data());
    }
    argv.push_back(nullptr);
    EXPECT_EQ(::posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    log_stream_ = ::fdopen(ends[0], "r");
  }
  ~Process() {
    if (pid_ > 0) {
      Kill(SIGKILL);
      Wait();
    }
    ::fclose(log_stream_);
  }

  // Reads the log up to the line that tells the port; 0 if the process ends first.
  int WaitForPort() {
    for (std::string line = ReadLine(); !line.empty(); line = ReadLine()) {
      const size_t start = line.find("(port ");
      int port = 0;
      if (line.find("listening on") != std::string::npos && start != std::string::npos &&
          absl::SimpleAtoi(line.substr(start + 6, line.rfind(')') - start - 6), &port)) {
        return port;
      }
    }
    return 0;
  }

  void Kill(int signal) { ::kill(pid_, signal); }

  // Reads the log to its end; the exit status, or minus the signal that ended the process.
  int Wait() {
    while (!ReadLine().empty()) {
    }
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  pid_t pid() const { return pid_; }
  const std::string& log() const { return log_; }

 private:
  std::string ReadLine() {
    char buffer[4096];
    const char* line = ::fgets(buffer, sizeof(buffer), log_stream_);
    log_ += line == nullptr ? "" : line;
    return line == nullptr ? "" : line;
  }

  pid_t pid_ = 0;
  FILE* log_stream_ = nullptr;
  std::string log_;
};

class SnapshotProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              absl::StrCat("snapshot_process_", ::getpid(), "_",
                           ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::remove_all(folder_);
    ASSERT_OK(MakeFolders(folder_));
    ASSERT_OK(WriteFileAtomically(folder_ / "run.textproto", "run_id: \"run\"\nservices { snapshot {} }\n"));
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::vector<std::string> Command(const std::string& data_dir, const std::vector<std::string>& more = {}) {
    std::vector<std::string> command = {
        DEMORL_SNAPSHOT_BINARY, "--config", (folder_ / "run.textproto").string(), "--override",
        absl::StrCat("services.snapshot.data_dir=", (folder_ / data_dir).string())};
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }

  std::filesystem::path folder_;
};

absl::StatusOr<uint64_t> Publish(int port) {
  TensorFile file;
  file.tensors["weight"] = {.shape = {1}, .values = {1}};
  demorl::snapshot::v1::SnapshotMetadata metadata;
  metadata.set_kind(kPolicy);
  return SnapshotClient(MakeChannel(absl::StrCat("127.0.0.1:", port)), "run")
      .Publish(metadata, EncodeSafetensors(file), absl::Now() + absl::Seconds(30));
}

TEST_F(SnapshotProcessTest, SigtermDrainsAndExitsWithZero) {
  Process process(Command("data"));
  const int port = process.WaitForPort();
  ASSERT_NE(port, 0) << process.log();
  const auto channel = MakeChannel(absl::StrCat("127.0.0.1:", port));
  EXPECT_EQ(HealthOf(channel, "readiness"), kServing);
  EXPECT_EQ(HealthOf(channel, "liveness"), kServing);
  process.Kill(SIGTERM);
  EXPECT_EQ(process.Wait(), 0);
  EXPECT_THAT(process.log(), AllOf(HasSubstr("configuration"), HasSubstr("keep_versions: 10"),
                                   HasSubstr("revision"), HasSubstr("drained")));
}

TEST_F(SnapshotProcessTest, ListensWhereItIsToldAndNotWhereOthersDial) {
  const std::vector<std::string> target = {"--override",
                                           "services.snapshot.address=dns:///of.no.machine:50051"};
  Process refused(Command("data", target));
  EXPECT_EQ(refused.Wait(), 1);
  EXPECT_THAT(refused.log(), AllOf(HasSubstr("dns:///of.no.machine:50051"), HasSubstr("set listen_address")));

  std::vector<std::string> arguments = target;
  for (const char* assignment :
       {"services.snapshot.listen_address=127.0.0.1:0", "services.snapshot.health_address=127.0.0.1:0"}) {
    arguments.insert(arguments.end(), {"--override", assignment});
  }
  Process process(Command("data", arguments));
  const int port = process.WaitForPort();
  ASSERT_NE(port, 0) << process.log();
  EXPECT_EQ(HealthOf(MakeChannel(absl::StrCat("127.0.0.1:", port)), "readiness"), kServing);
  EXPECT_THAT(process.log(), HasSubstr("health on 127.0.0.1:0 (port "));
}

TEST_F(SnapshotProcessTest, WhatWasAcknowledgedIsThereAfterAKill) {
  {
    Process process(Command("data"));
    const int port = process.WaitForPort();
    ASSERT_NE(port, 0) << process.log();
    ASSERT_OK(Publish(port));
    process.Kill(SIGKILL);
    EXPECT_EQ(process.Wait(), -SIGKILL);
  }
  Process process(Command("data"));
  const int port = process.WaitForPort();
  ASSERT_NE(port, 0) << process.log();
  EXPECT_THAT(process.log(), AllOf(HasSubstr("start 2"), HasSubstr("serves policy version 1")));
  ASSERT_OK_AND_ASSIGN(const uint64_t version, Publish(port));
  EXPECT_EQ(version, 2);
}

TEST_F(SnapshotProcessTest, ASecondProcessOnTheSameFolderIsRefused) {
  Process first(Command("data"));
  ASSERT_NE(first.WaitForPort(), 0) << first.log();
  Process second(Command("data"));
  EXPECT_EQ(second.Wait(), 1);
  EXPECT_THAT(second.log(), AllOf(HasSubstr((folder_ / "data").string()),
                                  HasSubstr(absl::StrCat("in use by process ", first.pid()))));
}

TEST_F(SnapshotProcessTest, APortInUseIsNamedInOneLine) {
  Process first(Command("data"));
  const int port = first.WaitForPort();
  ASSERT_NE(port, 0) << first.log();
  Process second(Command("other", {"--port", absl::StrCat(port)}));
  EXPECT_EQ(second.Wait(), 1);
  EXPECT_THAT(second.log(), HasSubstr(absl::StrCat("cannot listen on 127.0.0.1:", port)));
}

TEST_F(SnapshotProcessTest, AMistakeInTheConfigurationIsOneLineAndTouchesNothing) {
  for (const std::string assignment :
       {"snapshot.keep_versoins=3", "snapshot.keep_versions=0", "snapshot.keep_versions=x", "run_id="}) {
    Process process(Command("data", {"--override", assignment}));
    EXPECT_EQ(process.Wait(), 1) << assignment;
    EXPECT_EQ(std::count(process.log().begin(), process.log().end(), '\n'), 1) << process.log();
    EXPECT_THAT(process.log(),
                AllOf(HasSubstr("error"), HasSubstr(assignment.substr(0, assignment.find('=')))));
  }
  EXPECT_FALSE(std::filesystem::exists(folder_ / "data"));
}

}  // namespace
}  // namespace demorl
