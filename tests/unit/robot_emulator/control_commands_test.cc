#include "services/robot_emulator/control_commands.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "common/base/clock.h"
#include "common/robot/transport/serial_port.h"
#include "gmock/gmock.h"
#include "services/robot_emulator/core/emulated_robot.h"
#include "services/robot_emulator/core/mujoco_plant.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

class ControlCommandsTest : public ::testing::Test {
 protected:
  void SetUp() override { Start("leg"); }

  void Start(const std::string& name) {
    server_.reset();
    ASSERT_OK_AND_ASSIGN(robot_, MakeEmulatedRobot(name));
    std::vector<DeviceEmulator*> devices;
    for (const auto& device : robot_.devices) {
      devices.push_back(device.get());
    }
    ASSERT_OK_AND_ASSIGN(server_, EmulatorServer::Start({.step = robot_.step}, devices, robot_.plant.get()));
    commands_ = std::make_unique<ControlCommands>(server_.get(), &robot_);
  }

  // How much of the torso's up is up: 1 where it stands level.
  double Uprightness() {
    double upright = 0;
    server_->Inspect([&] {
      MujocoPlant& plant = static_cast<MujocoPlant&>(*robot_.plant);
      const double* q = plant.data().qpos + 3;
      upright = 1 - 2 * (q[1] * q[1] + q[2] * q[2]);
    });
    return upright;
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
  std::unique_ptr<ControlCommands> commands_;
};

TEST_F(ControlCommandsTest, AStuckBusAnswersNothingUntilItIsFreed) {
  EXPECT_EQ(Ask(absl::Seconds(10)), IoResult::Code::kOk);
  ASSERT_OK(commands_->Run("stuck bus0 on"));
  EXPECT_EQ(Ask(absl::Milliseconds(50)), IoResult::Code::kTimedOut);
  ASSERT_OK(commands_->Run("stuck bus0 off"));
  EXPECT_EQ(Ask(absl::Seconds(10)), IoResult::Code::kOk);
}

TEST_F(ControlCommandsTest, AReplugBringsAPulledCableBackAtANewPath) {
  ASSERT_OK(commands_->Run("unplug bus0"));
  EXPECT_NE(Ask(absl::Milliseconds(50)), IoResult::Code::kOk);
  ASSERT_OK(commands_->Run("replug bus0"));
  EXPECT_EQ(Ask(absl::Seconds(10)), IoResult::Code::kOk);
}

TEST_F(ControlCommandsTest, SomebodySetsAFallenRobotOnItsFeet) {
  Start("stochlite");
  ASSERT_OK(commands_->Run("topple"));
  ASSERT_LT(Uprightness(), 0.5);
  ASSERT_OK(commands_->Run("place"));
  EXPECT_GT(Uprightness(), 0.9);
}

TEST_F(ControlCommandsTest, NobodyMovesARobotThatIsBoltedDown) {
  EXPECT_THAT(commands_->Run("place"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("bolted down")));
}

TEST_F(ControlCommandsTest, SaysWhatItDoesNotUnderstand) {
  EXPECT_THAT(commands_->Run("stuck bus1 on"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("there are bus0")));
  EXPECT_THAT(commands_->Run("stuck bus0 maybe"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("neither on nor off")));
  EXPECT_THAT(commands_->Run("corrupt bus0 2"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("from 0 to 1")));
  EXPECT_THAT(commands_->Run("explode bus0"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("unplug, replug")));
  EXPECT_THAT(commands_->Run(""), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("or a fault")));
}

TEST(EmulatedRobotTest, AnUnknownOneIsRefused) {
  EXPECT_THAT(MakeEmulatedRobot("dog").status(),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("known are leg and stochlite")));
}

TEST(EmulatedRobotTest, ASlopeIsRefusedWhereItMakesNoSense) {
  EXPECT_THAT(MakeEmulatedRobot("leg", {.slope_deg = 5}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no ground")));
  EXPECT_THAT(MakeEmulatedRobot("stochlite", {.slope_deg = 45}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("want -30 to 30")));
  EXPECT_THAT(MakeEmulatedRobot("stochlite", {.slope_deg = std::nan("")}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("slope")));
}

}  // namespace
}  // namespace demorl
