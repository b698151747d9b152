#include "services/robot_gateway/core/robot_setup.h"

#include <string>

#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using demorl::config::v1::RobotSetup;
using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

constexpr char kJoint[] = R"(
  minimum_position_rad: -1 maximum_position_rad: 2 soft_zone_rad: 0.1 soft_zone_stiffness_nm_rad: 20
  maximum_velocity_rad_s: 15 maximum_torque_nm: 2 maximum_torque_rate_nm_s: 500 safe_damping_nm_s_rad: 0.1
  hold_stiffness_nm_rad: 10)";

RobotSetup LegSetup() {
  RobotSetup setup;
  const std::string text = std::string(R"(
    name: "leg"
    bus { protocol: PROTOCOL_MOTEUS_FDCANUSB ports: "/dev/ttyACM0" }
    joints { name: "hip" actuator_id: 1 direction: -1 gear_ratio: 6 )") +
                           kJoint + "} joints { name: \"knee\" actuator_id: 2 " + kJoint + "}";
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &setup));
  return setup;
}

TEST(RobotSetupTest, MeansWhatItSays) {
  const RobotSetup setup = LegSetup();
  ASSERT_OK(CheckRobotSetup(setup, 2));
  const std::vector<JointLimits> limits = LimitsOf(setup);
  EXPECT_EQ(limits[1].joint_name, "knee");
  EXPECT_EQ(limits[1].maximum_position_rad, 2);
  EXPECT_EQ(limits[1].maximum_temperature_c, 80);
  EXPECT_EQ(CalibrationOf(setup)[0].direction, -1);
  EXPECT_EQ(CalibrationOf(setup)[0].gear_ratio, 6);
}

TEST(RobotSetupTest, LossesHaveTheSafeActionsOfTheSetup) {
  RobotSetup setup = LegSetup();
  setup.mutable_safety()->set_on_emergency_stop(demorl::config::v1::SafetySetup::SAFE_ACTION_FREE);
  const RobotLoopOptions options = LoopOptionsOf(setup, absl::Milliseconds(2));
  const auto action = [&](StopReason reason) {
    return options.arming.safe_actions[static_cast<size_t>(reason)];
  };
  EXPECT_EQ(action(StopReason::kEmergencyStop), SafeAction::kFree);
  EXPECT_EQ(action(StopReason::kLeaseLost), SafeAction::kHold);
  EXPECT_EQ(action(StopReason::kOverheated), SafeAction::kDamping);
  EXPECT_EQ(options.max_policy_age, absl::InfiniteDuration());
  EXPECT_EQ(options.max_reset_time, absl::Seconds(5));
}

TEST(RobotSetupTest, RefusesWhatIsMissingByName) {
  const auto expect_refused = [](const RobotSetup& setup, const std::string& what) {
    EXPECT_THAT(CheckRobotSetup(setup, 2), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(what)));
  };
  RobotSetup setup = LegSetup();
  setup.clear_name();
  expect_refused(setup, "robot.name");
  setup = LegSetup();
  setup.mutable_joints()->RemoveLast();
  expect_refused(setup, "has 1 entries; this robot has 2 joints");
  setup = LegSetup();
  setup.mutable_joints(1)->clear_maximum_torque_nm();
  expect_refused(setup, "joint knee: maximum_torque_nm is not set");
  setup = LegSetup();
  setup.mutable_joints(1)->set_actuator_id(1);
  expect_refused(setup, "two joints have actuator_id 1");
  setup = LegSetup();
  setup.mutable_joints(1)->set_port(1);
  expect_refused(setup, "robot.joints[1].port is 1");
  setup = LegSetup();
  setup.mutable_joints(0)->set_direction(0);
  expect_refused(setup, "allowed are 1 and -1");
  setup = LegSetup();
  setup.mutable_bus()->clear_ports();
  expect_refused(setup, "at least one port");
}

}  // namespace
}  // namespace demorl
