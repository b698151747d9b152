#include "common/robot/drivers/moteus/moteus_bus.h"

#include <array>
#include <limits>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/counting_allocator.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/robot/moteus/moteus_rig.h"

namespace demorl {
namespace {

using ::demorl::testing::kHalfNewtonMetre;
using ::demorl::testing::MoteusRig;
using ::testing::DoubleNear;
using ::testing::Each;
using ::testing::Field;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(MoteusBusTest, ReadsInRadians) {
  MoteusRig rig;
  rig.plant.Set(1, 1.25, -3.5);
  rig.emulator.controller(1).set_voltage_v(36);
  rig.emulator.controller(1).set_temperature_c(41);
  rig.Step(absl::Microseconds(500));
  const absl::Duration before = RealClock::Get().Now();
  ASSERT_TRUE(rig.Read().ok());
  EXPECT_THAT(rig.measured, Each(Field(&JointMeasurement::fresh, true)));
  EXPECT_NEAR(rig.measured[1].position_rad, 1.25, 1e-6);
  EXPECT_NEAR(rig.measured[1].velocity_rad_s, -3.5, 1e-6);
  EXPECT_EQ(rig.measured[1].voltage_v, 36);
  EXPECT_EQ(rig.measured[1].temperature_c, 41);
  EXPECT_EQ(rig.measured[1].fault, 0);
  EXPECT_GE(rig.measured[1].time, before);
}

TEST(MoteusBusTest, TorqueIsTorqueWhateverTheJointDoes) {
  MoteusRig rig;
  rig.plant.Set(0, 2.0, 30.0);
  ASSERT_TRUE(rig.Write({.mode = ActuatorMode::kTorque, .torque_nm = -0.7}).ok());
  rig.Step(absl::Milliseconds(2));
  EXPECT_THAT(rig.torques_nm, Each(DoubleNear(-0.7, 1e-6)));
  ASSERT_TRUE(rig.Read().ok());
  EXPECT_NEAR(rig.measured[0].torque_nm, -0.7, 1e-6);
  ASSERT_TRUE(rig.Write({.mode = ActuatorMode::kTorque, .torque_nm = -0.7, .max_torque_nm = 0.25}).ok());
  rig.Step(absl::Microseconds(500));
  EXPECT_THAT(rig.torques_nm, Each(DoubleNear(-0.25, 1e-6)));
}

TEST(MoteusBusTest, PositionModeFollowsTheContractsLaw) {
  MoteusRig rig;
  rig.plant.Set(0, 0.3, 1.5);
  rig.plant.Set(1, 0.3, 1.5);
  ASSERT_TRUE(rig.Write({.mode = ActuatorMode::kPosition,
                         .position_rad = 0.5,
                         .velocity_rad_s = 0,
                         .torque_nm = 0.2,
                         .stiffness_nm_rad = 6,
                         .damping_nm_s_rad = 0.4})
                  .ok());
  rig.Step(absl::Microseconds(500));
  EXPECT_THAT(rig.torques_nm, Each(DoubleNear(6 * (0.5 - 0.3) + 0.4 * (0 - 1.5) + 0.2, 1e-5)));
}

TEST(MoteusBusTest, DampingResistsMotion) {
  MoteusRig rig;
  rig.plant.Set(0, 0, 4);
  rig.plant.Set(1, 0, 4);
  ASSERT_TRUE(rig.Write({.mode = ActuatorMode::kDamping, .damping_nm_s_rad = 0.3}).ok());
  rig.Step(absl::Microseconds(500));
  EXPECT_THAT(rig.torques_nm, Each(DoubleNear(-1.2, 1e-5)));
  EXPECT_EQ(rig.emulator.controller(0).mode(), moteus_mode::kZeroVelocity);
}

TEST(MoteusBusTest, FreeTakesTheMotorOff) {
  MoteusRig rig;
  ASSERT_TRUE(rig.Write(kHalfNewtonMetre).ok());
  ASSERT_TRUE(rig.Write({.mode = ActuatorMode::kFree}).ok());
  rig.Step(absl::Microseconds(500));
  EXPECT_THAT(rig.torques_nm, Each(0));
  EXPECT_EQ(rig.emulator.controller(0).mode(), moteus_mode::kStopped);
}

TEST(MoteusBusTest, AMotorThatWasTakenOffHasNotRestarted) {
  MoteusRig rig;
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(rig.Write(kHalfNewtonMetre).ok());
    ASSERT_TRUE(rig.Read().ok());
    ASSERT_TRUE(rig.Write({.mode = ActuatorMode::kFree}).ok());
    ASSERT_TRUE(rig.Read().ok());
    EXPECT_THAT(rig.measured, Each(Field(&JointMeasurement::fault, 0)));
  }
}

TEST(MoteusBusTest, SendsNothingThatIsNotFinite) {
  MoteusRig rig;
  rig.stream->TakeWritten();
  for (const JointCommand& command :
       std::vector<JointCommand>{{.mode = ActuatorMode::kTorque, .torque_nm = kNan},
                                 {.mode = ActuatorMode::kTorque, .torque_nm = kInfinity},
                                 {.mode = ActuatorMode::kTorque, .torque_nm = 1, .max_torque_nm = kNan},
                                 {.mode = ActuatorMode::kTorque, .torque_nm = 1, .max_torque_nm = -1},
                                 {.mode = ActuatorMode::kPosition, .position_rad = kNan},
                                 {.mode = ActuatorMode::kPosition, .stiffness_nm_rad = kInfinity},
                                 {.mode = ActuatorMode::kDamping, .damping_nm_s_rad = kNan}}) {
    EXPECT_EQ(rig.Write(command).code, BusResult::Code::kIncomplete);
  }
  EXPECT_EQ(rig.stream->TakeWritten(), "");
}

TEST(MoteusBusTest, ReadsAndWritesWithoutAllocating) {
  if (!CountsAllocations()) {
    GTEST_SKIP() << "this build has an allocator of its own";
  }
  for (const bool checksums : {false, true}) {
    MoteusRig rig({.checksums = checksums});
    ASSERT_OK(rig.bus->Configure(absl::Milliseconds(100)));
    const std::array<JointCommand, 2> commands = {
        kHalfNewtonMetre,
        JointCommand{.mode = ActuatorMode::kPosition, .stiffness_nm_rad = 1, .max_torque_nm = 2}};
    rig.stream->faults.duplicate_replies = true;
    rig.stream->Inject("garbage\xff\nERR x\n");
    const int64_t before = NumAllocations();
    for (int i = 0; i < 20; ++i) {
      rig.bus->Read(absl::ZeroDuration(), rig.measured);
      rig.bus->Write(commands);
      rig.bus->counters();
    }
    EXPECT_EQ(NumAllocations(), before);
    EXPECT_TRUE(rig.Read().ok());
  }
}

}  // namespace
}  // namespace demorl
