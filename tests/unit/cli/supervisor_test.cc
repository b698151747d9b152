#include "services/cli/up/supervisor.h"

#include <signal.h>

#include <filesystem>
#include <functional>

#include "absl/time/clock.h"
#include "common/base/file_io.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;
using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

class SupervisorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        fs::path(::testing::TempDir()) / ::testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
    ASSERT_OK(MakeFolders(folder_));
  }
  void TearDown() override { fs::remove_all(folder_); }

  SupervisedProgram Shell(const std::string& name, const std::string& script) {
    return {.name = name, .command = {"/bin/sh", "-c", script}, .log_file = folder_ / (name + ".log")};
  }

  // Tends until the condition holds; a supervisor has no event to wait for other than its children.
  static absl::Status TendUntil(Supervisor& supervisor, const std::function<bool()>& condition) {
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    while (!condition()) {
      if (absl::Now() > deadline) {
        return absl::DeadlineExceededError("the condition did not come true");
      }
      if (absl::Status status = supervisor.Tend(); !status.ok()) {
        return status;
      }
    }
    return absl::OkStatus();
  }

  static void Ignore(const std::string&) {}

  fs::path folder_;
};

TEST_F(SupervisorTest, StartsAKilledProgramAgainUnderANewProcessId) {
  Supervisor supervisor({Shell("sleeper", "exec sleep 100")}, Ignore);
  ASSERT_OK(supervisor.StartAll());
  const int first = supervisor.ProcessIds().at("sleeper");
  ::kill(first, SIGKILL);
  ASSERT_OK(TendUntil(supervisor, [&] { return supervisor.num_restarts() == 1; }));
  const int second = supervisor.ProcessIds().at("sleeper");
  EXPECT_NE(first, second);
  EXPECT_EQ(::kill(second, 0), 0);
}

TEST_F(SupervisorTest, StopsInReverseOrderAndReportsTheProgramThatDidNotExitCleanly) {
  const std::string trap = "trap 'echo %s >> " + (folder_ / "order").string() +
                           "; exit %d' TERM; echo up; while :; do sleep 0.05; done";
  const auto script = [&](const std::string& name, int status) {
    char text[512];
    std::snprintf(text, sizeof(text), trap.c_str(), name.c_str(), status);
    return std::string(text);
  };
  Supervisor supervisor({Shell("first", script("first", 3)), Shell("second", script("second", 0))}, Ignore);
  ASSERT_OK(supervisor.StartAll());
  const auto is_up = [&](const std::string& name) {
    const auto log = ReadFile(folder_ / (name + ".log"));
    return log.ok() && *log == "up\n";
  };
  ASSERT_OK(TendUntil(supervisor, [&] { return is_up("first") && is_up("second"); }));
  EXPECT_THAT(supervisor.StopAll(absl::Seconds(10)),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("first exited with status 3")));
  EXPECT_EQ(*ReadFile(folder_ / "order"), "second\nfirst\n");
  EXPECT_TRUE(supervisor.ProcessIds().empty());
}

TEST_F(SupervisorTest, GivesUpOnAProgramThatKeepsFailingAtOnceAndNamesItsLog) {
  Supervisor supervisor({Shell("broken", "echo no luck; exit 7")}, Ignore);
  ASSERT_OK(supervisor.StartAll());
  EXPECT_THAT(TendUntil(supervisor, [] { return false; }),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       ::testing::AllOf(HasSubstr("exited with status 7"), HasSubstr("no luck"),
                                        HasSubstr("broken.log"))));
}

TEST_F(SupervisorTest, TellsWhatAProgramSaidInItsLastLifeOnly) {
  // Speaks in its first life, and dies silently in the others.
  const std::string mark = (folder_ / "mark").string();
  Supervisor supervisor({Shell("mute", "test -e " + mark + " || echo once; touch " + mark + "; exit 3")},
                        Ignore);
  ASSERT_OK(supervisor.StartAll());
  const absl::Status end = TendUntil(supervisor, [] { return false; });
  EXPECT_THAT(end, StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("exited with status 3")));
  EXPECT_THAT(std::string(end.message()), ::testing::Not(HasSubstr("once")));
}

TEST_F(SupervisorTest, RefusesAProgramThatDoesNotExist) {
  Supervisor supervisor({{.name = "ghost", .command = {"/nowhere/ghost"}, .log_file = folder_ / "ghost.log"}},
                        Ignore);
  EXPECT_THAT(supervisor.StartAll(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("/nowhere/ghost")));
}

}  // namespace
}  // namespace demorl
