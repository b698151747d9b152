// A gateway's bus of B3M servos, its bus watchdog and the emulated servos: three processes, over
// pseudo-terminals.
#include <gmock/gmock.h>
#include <sys/prctl.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/robot/drivers/b3m/b3m_emulator.h"
#include "common/robot/emulation/emulator_server.h"
#include "services/robot_gateway/devices.h"
#include "tests/fakes/emulated_world.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/test_program.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::demorl::testing::TestProgram;
using ::testing::HasSubstr;

// Far beyond what a loaded machine needs; nothing waits for it in a test that passes.
constexpr absl::Duration kPatience = absl::Seconds(60);
// So long that only the gateway's death ends the watch.
constexpr double kNever = 10;

constexpr uint8_t kFree = static_cast<uint8_t>(b3m::RunMode::kFree);
constexpr uint8_t kHold = static_cast<uint8_t>(b3m::RunMode::kHold);
constexpr uint8_t kTorque = static_cast<uint8_t>(b3m::ControlMode::kTorque);

class WatchedBusTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK_AND_ASSIGN(server_, EmulatorServer::Start({}, {&left_, &right_}, &plant_));
  }

  std::unique_ptr<TestProgram> Drive(double timeout_s) {
    auto robot = std::make_unique<TestProgram>(
        std::vector<std::string>{std::getenv("DRIVEN_ROBOT"), absl::StrCat(timeout_s), server_->path(0),
                                 server_->path(1)},
        /*joins_errors=*/true);
    EXPECT_EQ(NextWord(*robot), "driving");
    EXPECT_TRUE(Become(kTorque));
    return robot;
  }
  // Without what the system has refused the watchdog.
  static std::string NextWord(TestProgram& robot) {
    std::string line = robot.ReadLine();
    while (line.find("degraded") != std::string::npos) {
      line = robot.ReadLine();
    }
    return line;
  }
  // Whether both servos come into this mode.
  bool Become(uint8_t mode) {
    const absl::Time deadline = absl::Now() + kPatience;
    bool both = false;
    while (!both && absl::Now() < deadline) {
      server_->Inspect([&] { both = ModeOf(left_) == mode && ModeOf(right_) == mode; });
      absl::SleepFor(absl::Milliseconds(1));
    }
    return both;
  }
  static uint8_t ModeOf(B3mEmulator& emulator) {
    return emulator.servo(0).Read(b3m::kMode, 1)[0] & (b3m::kRunModeMask | b3m::kControlModeMask);
  }
  static pid_t WatchdogOf(const TestProgram& robot) {
    pid_t watchdog = -1;
    std::ifstream(absl::StrCat("/proc/", robot.pid(), "/task/", robot.pid(), "/children")) >> watchdog;
    return watchdog;
  }

  testing::FreeJoints plant_{2};
  B3mEmulator left_{{.servos = {{1, 0}}}}, right_{{.servos = {{2, 1}}}};
  std::unique_ptr<EmulatorServer> server_;
};

TEST_F(WatchedBusTest, AKilledGatewaysServosAreFreed) {
  const auto robot = Drive(kNever);
  robot->Kill();
  EXPECT_TRUE(Become(kFree));
  EXPECT_THAT(NextWord(*robot), HasSubstr("the gateway has died; freed the motors"));
}

TEST_F(WatchedBusTest, AGatewayThatStandsStillLosesItsServosAndMayOnlyBrakeThemAfterwards) {
  const auto robot = Drive(/*timeout_s=*/1);
  robot->Signal(SIGSTOP);
  EXPECT_TRUE(Become(kFree));
  EXPECT_THAT(NextWord(*robot), HasSubstr("the gateway stands still; freed the motors"));
  robot->Signal(SIGCONT);
  EXPECT_EQ(NextWord(*robot), "unwatched");
  EXPECT_TRUE(Become(kHold));
  robot->CloseInput();
  EXPECT_EQ(NextWord(*robot), "ended");
  EXPECT_TRUE(Become(kFree));
}

TEST_F(WatchedBusTest, AKilledWatchdogEndsTheDrivingUntilFaultsAreCleared) {
  const auto robot = Drive(kNever);
  const pid_t watchdog = WatchdogOf(*robot);
  ASSERT_GT(watchdog, 0);
  ASSERT_EQ(kill(watchdog, SIGKILL), 0);
  EXPECT_EQ(NextWord(*robot), "unwatched");
  EXPECT_TRUE(Become(kHold));
  robot->Say("clear");
  EXPECT_EQ(NextWord(*robot), "driving");
  EXPECT_TRUE(Become(kTorque));
  EXPECT_NE(WatchdogOf(*robot), watchdog);
  robot->Kill();
  EXPECT_TRUE(Become(kFree));
}

TEST_F(WatchedBusTest, AnOrderlyEndFreesTheServosAndIsNoDeath) {
  const auto robot = Drive(kNever);
  robot->CloseInput();
  EXPECT_EQ(NextWord(*robot), "ended");
  EXPECT_EQ(robot->ReadLine(), "");
  EXPECT_TRUE(Become(kFree));
}

TEST_F(WatchedBusTest, WithoutAWatchdogThereIsNoBus) {
  demorl::config::v1::RobotSetup setup;
  setup.mutable_bus()->set_protocol(demorl::config::v1::ActuatorBusSetup::PROTOCOL_B3M);
  setup.mutable_bus()->add_ports(server_->path(0));
  setup.add_joints()->set_actuator_id(1);
  // Beside this test there is none.
  EXPECT_THAT(OpenActuatorBus(setup),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("tests/demorl-bus-watchdog")));
  EXPECT_TRUE(Become(kFree));
}

}  // namespace
}  // namespace demorl
