#include "common/robot/control/calibrated_bus.h"

#include <utility>

#include "gmock/gmock.h"
#include "tests/fakes/fake_robot.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

class CalibratedBusTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto fake = std::make_unique<FakeActuatorBus>(1);
    fake_ = fake.get();
    ASSERT_OK_AND_ASSIGN(bus_, CalibratedBus::Create(
                                   std::move(fake), {{.direction = -1, .gear_ratio = 6, .offset_rad = 0.5}}));
  }

  FakeActuatorBus* fake_ = nullptr;
  std::unique_ptr<CalibratedBus> bus_;
};

TEST_F(CalibratedBusTest, TurnsActuatorsIntoJoints) {
  fake_->state[0] = {.position_rad = 12, .velocity_rad_s = 6, .torque_nm = 0.5};
  JointMeasurement joint;
  bus_->Read(absl::ZeroDuration(), {&joint, 1});
  EXPECT_DOUBLE_EQ(joint.position_rad, -2.5);
  EXPECT_DOUBLE_EQ(joint.velocity_rad_s, -1);
  EXPECT_DOUBLE_EQ(joint.torque_nm, -3);
}

TEST_F(CalibratedBusTest, ACommandComesBackAsAMeasurement) {
  const JointCommand command{.mode = ActuatorMode::kPosition,
                             .position_rad = 0.3,
                             .velocity_rad_s = 0.7,
                             .torque_nm = 1.1,
                             .stiffness_nm_rad = 36,
                             .damping_nm_s_rad = 3.6,
                             .max_torque_nm = 12};
  bus_->Write({&command, 1});
  const JointCommand& told = fake_->commands[0];
  EXPECT_DOUBLE_EQ(told.stiffness_nm_rad, 1);
  EXPECT_DOUBLE_EQ(told.damping_nm_s_rad, 0.1);
  EXPECT_DOUBLE_EQ(told.max_torque_nm, 2);
  fake_->state[0] = {
      .position_rad = told.position_rad, .velocity_rad_s = told.velocity_rad_s, .torque_nm = told.torque_nm};
  JointMeasurement joint;
  bus_->Read(absl::ZeroDuration(), {&joint, 1});
  EXPECT_DOUBLE_EQ(joint.position_rad, 0.3);
  EXPECT_DOUBLE_EQ(joint.velocity_rad_s, 0.7);
  EXPECT_DOUBLE_EQ(joint.torque_nm, 1.1);
}

TEST(CalibratedBusCreateTest, RefusesCalibrationsThatAreNone) {
  EXPECT_THAT(CalibratedBus::Create(std::make_unique<FakeActuatorBus>(2), {{}}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("the bus has 2")));
  EXPECT_THAT(CalibratedBus::Create(std::make_unique<FakeActuatorBus>(1), {{.gear_ratio = 0}}).status(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("gear_ratio 0")));
}

}  // namespace
}  // namespace demorl
