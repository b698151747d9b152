// An operator at a terminal, and the gateway of a fake robot.
#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "common/concurrency/stop_token.h"
#include "common/robot/transport/pty_pair.h"
#include "gmock/gmock.h"
#include "services/cli/drive/drive_robot.h"
#include "services/cli/drive/operator_input.h"
#include "services/cli/robot/held_robot.h"
#include "tests/integration/fake_robot_gateway.h"

namespace demorl {
namespace {

namespace pb = ::demorl::gateway::v1;
using ::demorl::testing::RobotGatewayTest;
using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

class RobotDriveTest : public RobotGatewayTest {
 protected:
  void SetUp() override {
    StartServices();
    StartGateway();
    ASSERT_OK_AND_ASSIGN(keyboard_, PtyPair::Open());
    terminal_ = open(keyboard_->path().c_str(), O_RDWR | O_NOCTTY);
    ASSERT_GE(terminal_, 0);
    ASSERT_OK_AND_ASSIGN(input_, KeyboardInput::Open(terminal_, testing::kNumJoints));
    ASSERT_OK_AND_ASSIGN(robot_, HeldRobot::Arm(client_.get(), "ann", absl::Seconds(5), pb::ARM_MODE_LEARN));
    lease_id_ = robot_->lease_id();
    AwaitState(pb::ROBOT_STATE_ARMED);
    lease_id_ = 0;  // the driver's heartbeat is enough
    driver_ = std::thread([this] { driven_ = DriveRobot(*robot_, *input_, stop_.token()); });
  }
  void TearDown() override {
    stop_.RequestStop();
    if (driver_.joinable()) {
      driver_.join();
    }
    robot_.reset();
    input_.reset();
    close(terminal_);
  }

  void Type(const std::string& keys) {
    EXPECT_TRUE(keyboard_->Write({reinterpret_cast<const uint8_t*>(keys.data()), keys.size()}).ok());
  }

  std::unique_ptr<PtyPair> keyboard_;
  int terminal_ = -1;
  std::unique_ptr<KeyboardInput> input_;
  std::unique_ptr<HeldRobot> robot_;
  StopSource stop_;
  absl::Status driven_;
  std::thread driver_;
};

TEST_F(RobotDriveTest, AHeldKeyActsInThePolicysPlaceUntilItIsLetGo) {
  AwaitState([this](const pb::WatchStateResponse& state) {
    Type("s");
    return state.intervening() && state.action(0) == -0.5F && state.action(1) == 0;
  });
  AwaitState([](const pb::WatchStateResponse& state) {
    return state.state() == pb::ROBOT_STATE_ARMED && !state.intervening() && state.action_size() > 0;
  });
  AwaitState([](const pb::WatchStateResponse& state) { return state.rows_intervened() > 0; });
  Type("q");
  driver_.join();
  EXPECT_OK(driven_);
}

TEST_F(RobotDriveTest, EndsWhenTheRobotHasStoppedByItself) {
  ASSERT_OK(client_->EmergencyStop("test"));
  driver_.join();
  EXPECT_THAT(driven_, StatusIs(absl::StatusCode::kAborted, HasSubstr("emergency_stop")));
}

TEST_F(RobotDriveTest, EndsWhenTheKeyboardIsGoneAndTheRobotIsDisarmed) {
  keyboard_->Unplug();
  driver_.join();
  EXPECT_THAT(driven_, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("the terminal is gone")));
  robot_.reset();
  AwaitState(pb::ROBOT_STATE_DISARMED);
}

}  // namespace
}  // namespace demorl
