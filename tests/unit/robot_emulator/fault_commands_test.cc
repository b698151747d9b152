#include "services/robot_emulator/fault_commands.h"

#include <array>

#include "common/base/clock.h"
#include "common/robot/transport/serial_port.h"
#include "gmock/gmock.h"
#include "services/robot_emulator/core/emulated_robot.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

class FaultCommandsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(robot_, MakeEmulatedRobot("leg"));
    ASSERT_OK_AND_ASSIGN(
        server_, EmulatorServer::Start({.step = robot_.step}, {robot_.devices[0].get()}, robot_.plant.get()));
    commands_ = std::make_unique<FaultCommands>(server_.get(), robot_.port_names);
  }

  // What the adapter answers to a question about itself, within `patience`.
  IoResult::Code Ask(absl::Duration patience) {
    absl::StatusOr<std::unique_ptr<SerialPort>> port = SerialPort::Open({.path = server_->path(0)});
    if (!port.ok()) {
      return IoResult::Code::kClosed;
    }
    constexpr std::array<uint8_t, 7> kQuestion = {'c', 'a', 'n', ' ', 'o', 'n', '\n'};
    (*port)->Write(kQuestion);
    std::array<uint8_t, 64> answer;
    return (*port)->Read(answer, RealClock::Get().Now() + patience).code;
  }

  EmulatedRobot robot_;
  std::unique_ptr<EmulatorServer> server_;
  std::unique_ptr<FaultCommands> commands_;
};

TEST_F(FaultCommandsTest, AStuckBusAnswersNothingUntilItIsFreed) {
  EXPECT_EQ(Ask(absl::Seconds(10)), IoResult::Code::kOk);
  ASSERT_OK(commands_->Run("stuck bus0 on"));
  EXPECT_EQ(Ask(absl::Milliseconds(50)), IoResult::Code::kTimedOut);
  ASSERT_OK(commands_->Run("stuck bus0 off"));
  EXPECT_EQ(Ask(absl::Seconds(10)), IoResult::Code::kOk);
}

TEST_F(FaultCommandsTest, AReplugBringsAPulledCableBackAtANewPath) {
  ASSERT_OK(commands_->Run("unplug bus0"));
  EXPECT_NE(Ask(absl::Milliseconds(50)), IoResult::Code::kOk);
  ASSERT_OK(commands_->Run("replug bus0"));
  EXPECT_EQ(Ask(absl::Seconds(10)), IoResult::Code::kOk);
}

TEST_F(FaultCommandsTest, SaysWhatItDoesNotUnderstand) {
  EXPECT_THAT(commands_->Run("stuck bus1 on"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("there are bus0")));
  EXPECT_THAT(commands_->Run("stuck bus0 maybe"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("neither on nor off")));
  EXPECT_THAT(commands_->Run("corrupt bus0 2"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("from 0 to 1")));
  EXPECT_THAT(commands_->Run("explode bus0"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("unplug, replug")));
  EXPECT_THAT(commands_->Run(""), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("want a fault")));
}

TEST(EmulatedRobotTest, AnUnknownOneIsRefused) {
  EXPECT_THAT(MakeEmulatedRobot("dog").status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("known is leg")));
}

}  // namespace
}  // namespace demorl
