#include "common/robot/drivers/dynamixel/dynamixel_bus.h"

#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/robot/dynamixel/dynamixel_rig.h"

namespace demorl {
namespace {

using ::demorl::testing::DynamixelRig;
using ::demorl::testing::EmulatedWorld;
using ::demorl::testing::Position;
using ::demorl::testing::Torque;
using ::testing::Each;
using ::testing::Field;
using ::testing::HasSubstr;

constexpr int kJoints = DynamixelRig::kJoints;
constexpr double kCurrentUnitNm = DynamixelRig::kTorqueUnitNm;

struct Setup {
  const char* name;
  int num_wires;
  uint8_t firmware;
};

class DynamixelBusTest : public ::testing::TestWithParam<Setup>, public DynamixelRig {
 protected:
  DynamixelBusTest() : DynamixelRig(GetParam().num_wires, GetParam().firmware) {}

  int32_t Value(int joint, uint16_t address, size_t num_bytes = 1) {
    return servo(joint).Value(address, num_bytes);
  }
};

INSTANTIATE_TEST_SUITE_P(Setups, DynamixelBusTest,
                         ::testing::Values(Setup{"Fast", 1, 46}, Setup{"Old", 1, 44},
                                           Setup{"FastOnTwo", 2, 46}),
                         [](const auto& info) { return info.param.name; });

TEST_P(DynamixelBusTest, TellsWhatTheActuatorsAre) {
  emulated[0].servos[0].model = dxl::FindModel(1030);
  MakeBus();
  ASSERT_OK_AND_ASSIGN(const std::vector<ActuatorInfo> infos, bus->Identify());
  ASSERT_EQ(infos.size(), kJoints);
  EXPECT_EQ(infos[0].model, "XM430-W210");
  EXPECT_EQ(infos[5].model, "XM430-W350");
  EXPECT_EQ(infos[5].id, 6);
  EXPECT_EQ(infos[5].firmware, absl::StrCat(GetParam().firmware));
  EXPECT_NEAR(infos[5].max_torque_nm, 4.1, 1e-9);
  EXPECT_NEAR(infos[5].minimum_position_rad, -std::numbers::pi, 1e-9);
  EXPECT_TRUE(infos[5].has_watchdog);
}

TEST_P(DynamixelBusTest, RefusesModelsItDoesNotKnow) {
  static constexpr dxl::Model kOther = {1234, "other", true, 1, 1, 1, 100};
  emulated[0].servos[0].model = &kOther;
  MakeBus();
  EXPECT_THAT(bus->Identify().status(), testing::StatusIs(absl::StatusCode::kFailedPrecondition,
                                                          HasSubstr("want XM430-W350 (1020), XM430-W210")));
}

TEST_P(DynamixelBusTest, RefusesTorquesOfActuatorsWithoutCurrent) {
  emulated[0].servos[0].model = dxl::FindModel(1060);
  MakeBus();
  for (const absl::Status& status : {bus->Identify().status(), bus->Configure(absl::ZeroDuration())}) {
    EXPECT_THAT(status, testing::StatusIs(absl::StatusCode::kFailedPrecondition,
                                          HasSubstr("XL430-W250 cannot control its current")));
  }
}

TEST_P(DynamixelBusTest, ConfiguresWithTheTorqueOff) {
  MakeBus();
  constexpr uint8_t kOn = 1, kPingOnly = 0;
  ASSERT_EQ(servo(2).Write(dxl::kTorqueEnable, {&kOn, 1}), 0);
  ASSERT_EQ(servo(3).Write(dxl::kStatusReturnLevel, {&kPingOnly, 1}), 0);
  ASSERT_OK(bus->Configure(absl::Milliseconds(50)));
  for (int joint = 0; joint < kJoints; ++joint) {
    EXPECT_EQ(Value(joint, dxl::kTorqueEnable), 0);
    EXPECT_EQ(Value(joint, dxl::kOperatingMode), 0);
    EXPECT_EQ(Value(joint, dxl::kReturnDelay), 0);
    EXPECT_EQ(Value(joint, dxl::kStatusReturnLevel), 2);
    EXPECT_EQ(Value(joint, dxl::kBusWatchdog), 3);  // 50 ms in units of 20, rounded up
  }
}

TEST_P(DynamixelBusTest, ReadsAllActuatorsInTheirUnits) {
  Configure();
  for (int joint = 0; joint < kJoints; ++joint) {
    world.plant.Place(joint, 0.1 * joint, -0.5 * joint);
  }
  world.Advance(absl::Milliseconds(1));
  ASSERT_EQ(Read(), BusResult::Code::kOk);
  for (int joint = 0; joint < kJoints; ++joint) {
    EXPECT_NEAR(measurements[joint].velocity_rad_s, -0.5 * joint, dxl::kVelocityUnitRadS / 2);
    EXPECT_NEAR(measurements[joint].position_rad, 0.1 * joint, 0.006);  // it moves while it is read
    EXPECT_LE(measurements[joint].time, world.Now());
  }
  RunTicks(3 * kJoints, AllOf({}));
  EXPECT_NEAR(measurements[4].temperature_c, 30, 1e-9);
  EXPECT_NEAR(measurements[4].voltage_v, 12, 1e-9);
}

TEST_P(DynamixelBusTest, BoundsTorquesByTheCommandAndByTheDevicesLimit) {
  MakeBus();
  constexpr uint8_t kLimit[] = {100, 0};
  ASSERT_EQ(servo(1).Write(dxl::kCurrentLimit, kLimit), 0);
  ASSERT_OK(bus->Configure(absl::ZeroDuration()));
  std::vector<JointCommand> commands = AllOf(Torque(-50));
  commands[0].max_torque_nm = 0.25;
  RunTicks(2, commands);
  EXPECT_NEAR(world.torques_nm[0], -0.25, kCurrentUnitNm);
  EXPECT_NEAR(world.torques_nm[1], -100 * kCurrentUnitNm, 1e-9);
  EXPECT_NEAR(world.torques_nm[2], -4.1, 1e-9);
}

TEST_P(DynamixelBusTest, ComputesImpedanceAndDampingFromTheLastRead) {
  Configure();
  world.plant.Place(0, 0, 2);
  world.plant.Place(1, 0.2, 0);
  world.Advance(absl::Milliseconds(1));
  std::vector<JointCommand> commands = AllOf({});
  commands[0] = {.mode = ActuatorMode::kDamping, .damping_nm_s_rad = 0.05};
  commands[1] = {.mode = ActuatorMode::kPosition,
                 .position_rad = 0.5,
                 .torque_nm = 0.1,
                 .stiffness_nm_rad = 1,
                 .damping_nm_s_rad = 0.05};
  RunTicks(1, commands);
  EXPECT_NEAR(world.torques_nm[0], -0.1, 2 * kCurrentUnitNm);
  EXPECT_NEAR(world.torques_nm[1], 0.4, 2 * kCurrentUnitNm);
  RunTicks(200, commands);
  EXPECT_NEAR(world.plant.velocity_rad_s(0), 0, 0.1);
  EXPECT_NEAR(world.plant.position_rad(1), 0.6, 0.05);
}

TEST_P(DynamixelBusTest, HoldsPositionsWithABoundOnTheCurrent) {
  options.control = DynamixelControl::kCurrentBasedPosition;
  Configure();
  std::vector<JointCommand> commands = AllOf(Position(0.3));
  commands[2].max_torque_nm = 0.05;
  RunTicks(2, commands);  // with its torque an actuator takes where it is as its goal, until the next
  EXPECT_NEAR(world.torques_nm[2], 0.05, kCurrentUnitNm);
  EXPECT_GT(world.torques_nm[1], 1);
  RunTicks(200, commands);
  EXPECT_NEAR(world.plant.position_rad(5), 0.3, 0.01);
}

TEST_P(DynamixelBusTest, PositionControlTakesNoTorquesAndSaysSo) {
  options.control = DynamixelControl::kPosition;
  emulated[0].servos[0].model = dxl::FindModel(1060);
  Configure();
  std::vector<JointCommand> commands = AllOf(Position(0.2));
  commands[1] = Torque(1);
  RunTicks(100, commands);
  EXPECT_NEAR(world.plant.position_rad(0), 0.2, 0.01);
  EXPECT_EQ(Value(1, dxl::kTorqueEnable), 0);
  EXPECT_EQ(bus->DescribeFault(measurements[1].fault), "torques cannot be commanded under position control");
  commands[1] = Position(0.1);
  RunTicks(2, commands);
  EXPECT_EQ(measurements[1].fault, 0);
}

TEST_P(DynamixelBusTest, DampingUnderPositionControlLetsTheGoalFollowTheJoint) {
  options.control = DynamixelControl::kPosition;
  Configure();
  world.plant.Place(3, 0, 1);
  RunTicks(1, AllOf({.mode = ActuatorMode::kDamping}));
  RunTicks(30, AllOf({.mode = ActuatorMode::kDamping}));
  EXPECT_LT(std::abs(world.plant.velocity_rad_s(3)), 0.5);
}

TEST_P(DynamixelBusTest, ACommandThatIsNoNumberFreesItsJointAlone) {
  Configure();
  std::vector<JointCommand> commands = AllOf(Torque(0.01));
  commands[3].torque_nm = std::numeric_limits<double>::quiet_NaN();
  commands[4].max_torque_nm = std::numeric_limits<double>::quiet_NaN();
  RunTicks(2, commands);
  EXPECT_EQ(Value(3, dxl::kTorqueEnable), 0);
  EXPECT_EQ(Value(4, dxl::kTorqueEnable), 0);
  EXPECT_EQ(Value(5, dxl::kTorqueEnable), 1);
}

TEST_P(DynamixelBusTest, ALostTorqueSwitchIsWrittenAgain) {
  Configure();
  world.wire(0).faults.stuck = true;
  bus->Write(AllOf(Torque(0.01)));
  world.wire(0).faults.stuck = false;
  EXPECT_EQ(Value(0, dxl::kTorqueEnable), 0);
  bus->Write(AllOf(Torque(0.01)));
  EXPECT_EQ(Value(0, dxl::kTorqueEnable), 1);
}

TEST_P(DynamixelBusTest, TheWatchdogStopsTheMotorsWhenTheHostIsSilent) {
  Configure(absl::Milliseconds(40));
  RunTicks(10, AllOf(Torque(0.1)));
  EXPECT_THAT(measurements, Each(Field(&JointMeasurement::fault, 0)));
  world.Advance(absl::Milliseconds(60));
  EXPECT_THAT(world.torques_nm, Each(0.0));
  RunTicks(1, AllOf(Torque(0.1)));
  Read();
  EXPECT_THAT(measurements, Each(Field(&JointMeasurement::fault, DynamixelBus::kWatchdog)));
  EXPECT_THAT(world.torques_nm, Each(0.0));

  // Configuring anew does not end it, the operator's clear does.
  ASSERT_OK(bus->Configure(absl::Milliseconds(40)));
  RunTicks(2, AllOf(Torque(0.1)));
  EXPECT_EQ(bus->DescribeFault(measurements[0].fault), "bus watchdog tripped");
  EXPECT_THAT(world.torques_nm, Each(0.0));
  ASSERT_OK(bus->ClearFaults());
  EXPECT_THAT(world.torques_nm, Each(0.0));
  RunTicks(20, AllOf(Torque(0.1)));
  EXPECT_THAT(measurements, Each(Field(&JointMeasurement::fault, 0)));
  EXPECT_NEAR(world.torques_nm[0], 0.1, kCurrentUnitNm);
  EXPECT_EQ(Value(0, dxl::kBusWatchdog), 2);
}

TEST_P(DynamixelBusTest, FindsATrippedWatchdogInTurn) {
  Configure(absl::Milliseconds(40));
  RunTicks(5, AllOf(Torque(0.1)));
  constexpr int kUnits = 1;
  constexpr uint8_t kUnit = kUnits;
  ASSERT_EQ(servo(3).Write(dxl::kBusWatchdog, {&kUnit, 1}), 0);
  servo(3).FeedWatchdog(world.Now() - absl::Seconds(1));  // it alone missed what was said
  servo(3).Step(world.Now(), 0, 0);
  ASSERT_EQ(Value(3, dxl::kBusWatchdog), dxl::kWatchdogTripped);
  RunTicks(3 * kJoints, AllOf(Torque(0.1)));
  EXPECT_EQ(measurements[3].fault, DynamixelBus::kWatchdog);
  EXPECT_EQ(measurements[2].fault, 0);
}

TEST_P(DynamixelBusTest, TellsHardwareErrorsInWordsUntilTheyAreCleared) {
  Configure();
  RunTicks(5, AllOf(Torque(0.01)));
  servo(2).AddHardwareError(dxl::kOverload);
  RunTicks(2, AllOf(Torque(0.01)));
  EXPECT_THAT(bus->DescribeFault(measurements[2].fault), HasSubstr("overload"));
  EXPECT_EQ(measurements[1].fault, 0);
  EXPECT_EQ(world.torques_nm[2], 0);
  EXPECT_GE(bus->counters().device_errors, 2);
  ASSERT_OK(bus->ClearFaults());
  RunTicks(2, AllOf({}));
  EXPECT_EQ(measurements[2].fault, 0);
}

TEST_P(DynamixelBusTest, AnActuatorThatRestartedIsAFaultAndStaysOff) {
  Configure();
  RunTicks(5, AllOf(Torque(0.01)));
  servo(1).Restart(world.Now());
  world.Advance(absl::Milliseconds(200));
  RunTicks(3 * kJoints, AllOf(Torque(0.01)));
  EXPECT_EQ(measurements[1].fault, DynamixelBus::kTorqueLost);
  EXPECT_EQ(Value(1, dxl::kTorqueEnable), 0);
  RunTicks(2, AllOf({}));  // the operator's clear begins with free
  EXPECT_EQ(measurements[1].fault, 0);
}

TEST_P(DynamixelBusTest, AnActuatorThatRunsThoughItShouldBeOffIsSwitchedOff) {
  Configure();
  constexpr uint8_t kOn = 1;
  ASSERT_EQ(servo(4).Write(dxl::kTorqueEnable, {&kOn, 1}), 0);
  RunTicks(3 * kJoints + 1, AllOf({}));
  EXPECT_EQ(Value(4, dxl::kTorqueEnable), 0);
}

TEST_P(DynamixelBusTest, KeepsWhatCameBeforeASilentActuator) {
  Configure();
  world.Advance(absl::Milliseconds(1));
  const int silent = 3;
  servo(silent).Restart(world.Now());
  EXPECT_EQ(Read(), BusResult::Code::kIncomplete);
  for (int joint = 0; joint < silent; ++joint) {
    EXPECT_TRUE(measurements[joint].fresh) << joint;
  }
  EXPECT_FALSE(measurements[silent].fresh);
  EXPECT_GE(bus->counters().missing_replies, 1);
}

TEST_P(DynamixelBusTest, LateRepliesAreNeverTakenForNewOnes) {
  Configure();
  world.plant.Place(0, 0.5, 0);
  world.Advance(absl::Milliseconds(1));
  world.wire(0).faults.reply_delay = absl::Milliseconds(6);
  EXPECT_EQ(Read(absl::Milliseconds(5)), BusResult::Code::kIncomplete);
  EXPECT_FALSE(measurements[0].fresh);
  world.wire(0).faults.reply_delay = absl::ZeroDuration();
  world.plant.Place(0, 1.5, 0);
  // The old one comes while the new one is awaited, and late enough to be it.
  ASSERT_FALSE(world.wire(0).delayed.empty());
  const absl::Duration due = world.wire(0).delayed.front().first;
  world.Advance(due - world.Now() - absl::Microseconds(1200));
  EXPECT_EQ(Read(), BusResult::Code::kOk);
  EXPECT_NEAR(measurements[0].position_rad, 1.5, dxl::kPositionUnitRad);
  world.Advance(absl::Milliseconds(2));
  EXPECT_EQ(Read(), BusResult::Code::kOk);
  EXPECT_GE(bus->counters().late_or_duplicate_replies, 1);
}

TEST_P(DynamixelBusTest, ReadsThroughABabblingDevice) {
  Configure();
  world.wire(0).faults.babble_bytes = 5;
  int fresh = 0;
  for (int i = 0; i < 50; ++i) {
    Read(absl::Milliseconds(30));
    fresh += num_fresh();
    for (const JointMeasurement& measured : measurements) {
      EXPECT_NEAR(measured.position_rad, 0, dxl::kPositionUnitRad);
    }
  }
  EXPECT_GT(fresh, 50 * kJoints / 2);
  EXPECT_GT(bus->counters().skipped_bytes, 100);
}

TEST(DynamixelOptionsTest, RefusesWhatCannotBe) {
  const auto create = [](const DynamixelOptions& options) {
    EmulatedWorld world(1);
    DynamixelEmulator emulator({});
    std::vector<std::unique_ptr<ByteStream>> streams;
    streams.push_back(world.Connect(&emulator));
    return DynamixelBus::Create(options, std::move(streams), &world).status();
  };
  const auto invalid = [](const char* what) {
    return testing::StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(what));
  };
  EXPECT_THAT(create({}), invalid("0 servos"));
  EXPECT_THAT(create({.servos = {{0, 1}, {0, 1}}}), invalid("both servo 1"));
  EXPECT_THAT(create({.servos = {{1, 1}}}), invalid("wires 0..0"));
  EXPECT_THAT(create({.servos = {{0, 253}}}), invalid("ids 0..252"));
  EXPECT_THAT(create({.servos = {{0, 1}}, .baud_rate = 0}), invalid("at 0 bit/s"));
}

}  // namespace
}  // namespace demorl
