#include "common/env/gymnasium_process.h"

#include <cstdlib>

#include "gmock/gmock.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(GymnasiumProcessTest, DescribesAnEnvironmentThatIsNotNative) {
  ASSERT_OK_AND_ASSIGN(const EnvironmentSpec spec, DescribeGymnasiumEnvironment("Pendulum-v1"));
  EXPECT_EQ(spec.environment_id, "Pendulum-v1");
  EXPECT_EQ(spec.observation_size, 3);
  EXPECT_EQ(spec.action_size, 1);
  EXPECT_THAT(spec.command_minimum, ElementsAre(-2.0));
  EXPECT_THAT(spec.command_maximum, ElementsAre(2.0));
  EXPECT_EQ(spec.max_episode_steps, 200);
  EXPECT_EQ(spec.control_period, absl::Milliseconds(50));
}

TEST(GymnasiumProcessTest, UnknownIdNamesTheNearest) {
  EXPECT_THAT(
      DescribeGymnasiumEnvironment("Pendulm-v1"),
      StatusIs(absl::StatusCode::kNotFound, AllOf(HasSubstr("Pendulm-v1"), HasSubstr("Pendulum-v1"))));
}

TEST(GymnasiumProcessTest, RefusesDiscreteActionsWithTheReason) {
  EXPECT_THAT(DescribeGymnasiumEnvironment("CartPole-v1"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("Discrete(2)")));
}

TEST(GymnasiumProcessTest, ArgumentsCannotBecomeOptions) {
  EXPECT_THAT(DescribeGymnasiumEnvironment("--list"),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no Gymnasium environment")));
}

TEST(GymnasiumProcessTest, GivesUpAtItsDeadline) {
  EXPECT_THAT(DescribeGymnasiumEnvironment("Pendulum-v1", absl::Milliseconds(1)),
              StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("in time")));
}

TEST(GymnasiumProcessTest, MissingPythonNamesTheSetUp) {
  setenv("DEMORL_PYTHON", "/nonexistent/python", 1);
  EXPECT_THAT(MakeGymnasiumCommand({}), StatusIs(absl::StatusCode::kNotFound, HasSubstr("tools/setup")));
  unsetenv("DEMORL_PYTHON");
}

TEST(GymnasiumProcessTest, CommandKeepsThisProcessesVariables) {
  setenv("DEMORL_TEST_VARIABLE", "kept", 1);
  ASSERT_OK_AND_ASSIGN(const GymnasiumCommand command, MakeGymnasiumCommand({"--list"}));
  EXPECT_EQ(command.arguments.back(), "--list");
  EXPECT_THAT(command.environment, Contains("DEMORL_TEST_VARIABLE=kept"));
}

}  // namespace
}  // namespace demorl
