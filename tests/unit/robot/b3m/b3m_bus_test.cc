#include "common/robot/drivers/b3m/b3m_bus.h"

#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/robot/b3m/b3m_rig.h"

namespace demorl {
namespace {

using ::demorl::testing::B3mRig;
using ::demorl::testing::EmulatedWorld;
using ::demorl::testing::Position;
using ::demorl::testing::Torque;
using ::testing::Each;
using ::testing::Field;
using ::testing::HasSubstr;

constexpr int kJoints = B3mRig::kJoints;
constexpr double kTick = b3m::kRadPerCentidegree;

class B3mBusTest : public ::testing::TestWithParam<int>, public B3mRig {
 protected:
  B3mBusTest() : B3mRig(GetParam()) {}

  uint8_t mode(int joint) { return servo(joint).Read(b3m::kMode, 1)[0]; }
};

INSTANTIATE_TEST_SUITE_P(Wires, B3mBusTest, ::testing::Values(1, 4),
                         [](const auto& info) { return absl::StrCat("On", info.param); });

TEST_P(B3mBusTest, TellsWhatTheServosAre) {
  MakeBus();
  ASSERT_OK_AND_ASSIGN(const std::vector<ActuatorInfo> infos, bus->Identify());
  ASSERT_EQ(infos.size(), kJoints);
  EXPECT_EQ(infos[4].id, 5);
  EXPECT_THAT(infos[4].model, HasSubstr("Kondo B3M"));
  EXPECT_EQ(infos[4].firmware, "1.2.0.1");
  EXPECT_NEAR(infos[4].max_torque_nm, 7.6, 1e-9);
  EXPECT_NEAR(infos[4].maximum_position_rad, std::numbers::pi, 1e-9);
  EXPECT_TRUE(std::isnan(infos[4].max_velocity_rad_s));
  EXPECT_FALSE(infos[4].has_watchdog);
}

TEST_P(B3mBusTest, ReadsAllServosInTheirUnits) {
  Configure();
  for (int joint = 0; joint < kJoints; ++joint) {
    world.plant.Place(joint, 0.1 * joint, -0.02 * joint);
  }
  world.Advance(absl::Milliseconds(1));
  ASSERT_EQ(Read(), BusResult::Code::kOk);
  for (int joint = 0; joint < kJoints; ++joint) {
    const JointMeasurement& measured = measurements[joint];
    EXPECT_NEAR(measured.velocity_rad_s, -0.02 * joint, kTick);
    EXPECT_NEAR(measured.position_rad, 0.1 * joint, 0.0015);  // it moves while it is read
    EXPECT_NEAR(measured.voltage_v, 11.1, 1e-3);
    EXPECT_NEAR(measured.temperature_c, 25, 0.01);
    EXPECT_EQ(measured.fault, 0);
    EXPECT_LE(measured.time, world.Now());
  }
}

TEST_P(B3mBusTest, TellsVelocitiesBeyondTheirRegisterByThePositions) {
  Configure();
  for (const double velocity_rad_s : {4.0, -9.0}) {
    world.plant.Place(2, 0, velocity_rad_s);
    world.Advance(absl::Milliseconds(1));
    Read();
    world.Advance(absl::Milliseconds(10));
    ASSERT_EQ(Read(), BusResult::Code::kOk);
    // The world moves in steps of half a millisecond.
    EXPECT_NEAR(measurements[2].velocity_rad_s, velocity_rad_s, velocity_rad_s == 4 ? kTick : 0.6);
  }
}

// 7 + 41 bytes of 10 bits at 1.5 Mbit/s, 30 us in between.
TEST_P(B3mBusTest, ReadsTheWiresSideBySide) {
  Configure();
  const absl::Duration start = world.Now();
  ASSERT_EQ(Read(), BusResult::Code::kOk);
  const absl::Duration each = absl::Microseconds(350);
  EXPECT_GE(world.Now() - start, each * joints_per_wire());
  EXPECT_LE(world.Now() - start, each * joints_per_wire() + absl::Microseconds(150) * num_wires());
}

TEST_P(B3mBusTest, BoundsTorquesByTheCommandAndByItsOwnLimit) {
  options.max_torque_nm = 2;
  Configure();
  std::vector<JointCommand> commands = AllOf(Torque(5));
  commands[1].max_torque_nm = 0.25;
  commands[2].torque_nm = -5;
  RunTicks(2, commands);
  EXPECT_DOUBLE_EQ(world.torques_nm[0], 2);
  EXPECT_DOUBLE_EQ(world.torques_nm[1], 0.25);
  EXPECT_DOUBLE_EQ(world.torques_nm[2], -2);
}

TEST_P(B3mBusTest, HoldsPositionsWithTheServosOwnControl) {
  Configure();
  RunTicks(100, AllOf(Position(0.3)));
  EXPECT_NEAR(world.plant.position_rad(11), 0.3, 0.01);
}

TEST_P(B3mBusTest, WritesGainsWhenConfigured) {
  options.position_gains = B3mGains{.kp = 0x12345678, .kd = 2, .ki = 3};
  Configure();
  EXPECT_THAT(servo(5).Read(b3m::kKp0, 12),
              ::testing::ElementsAre(0x78, 0x56, 0x34, 0x12, 2, 0, 0, 0, 3, 0, 0, 0));
}

TEST_P(B3mBusTest, DampingIsTheServosHold) {
  Configure();
  world.plant.Place(2, 0, 3);
  RunTicks(3, AllOf({.mode = ActuatorMode::kDamping}));
  EXPECT_EQ(mode(2), 3);
  EXPECT_LT(std::abs(world.plant.velocity_rad_s(2)), 1);
}

TEST_P(B3mBusTest, ACommandThatIsNoNumberFreesItsJointAlone) {
  Configure();
  std::vector<JointCommand> commands = AllOf(Torque(0.01));
  commands[3].torque_nm = std::numeric_limits<double>::quiet_NaN();
  commands[4] = Position(std::numeric_limits<double>::infinity());
  RunTicks(2, commands);
  EXPECT_EQ(mode(3), 2);
  EXPECT_EQ(mode(4), 2);
  EXPECT_EQ(mode(5), 8);
}

TEST_P(B3mBusTest, ASteadyTickWritesOnePacketAndNothingWhenFree) {
  Configure();
  RunTicks(5, AllOf(Torque(0.01)));
  world.wire(0).sent.clear();
  bus->Write(AllOf(Torque(0.02)));
  EXPECT_EQ(world.wire(0).sent.size(), 6 + 3 * joints_per_wire());
  RunTicks(5, AllOf({}));
  world.wire(0).sent.clear();
  bus->Write(AllOf({}));
  EXPECT_TRUE(world.wire(0).sent.empty());
}

TEST_P(B3mBusTest, LeavesNoOldTorqueBehind) {
  Configure();
  RunTicks(5, AllOf(Torque(0.5)));
  RunTicks(5, AllOf({}));
  EXPECT_EQ(b3m::LoadI16(servo(0).Read(b3m::kTargetTorque, 2), 0), 0);
}

TEST_P(B3mBusTest, AModeThatWasLostOnTheWayIsWrittenAgain) {
  Configure();
  world.wire(0).faults.stuck = true;
  bus->Write(AllOf(Torque(0.01)));
  world.wire(0).faults.stuck = false;
  EXPECT_EQ(mode(0), 2);
  RunTicks(1, AllOf(Torque(0.01)));
  EXPECT_EQ(mode(0), 8);
}

TEST_P(B3mBusTest, AServoThatRestartedIsAFaultAndStaysFree) {
  Configure();
  RunTicks(5, AllOf(Torque(0.01)));
  servo(6).Restart(world.Now());
  world.Advance(absl::Milliseconds(200));
  RunTicks(5, AllOf(Torque(0.01)));
  EXPECT_EQ(measurements[6].fault, B3mBus::kModeLost);
  EXPECT_EQ(bus->DescribeFault(measurements[6].fault), "left its mode by itself");
  EXPECT_EQ(mode(6), 2);
  RunTicks(5, AllOf({}));  // the operator's clear begins with free
  EXPECT_EQ(measurements[6].fault, 0);
  RunTicks(5, AllOf(Torque(0.01)));
  EXPECT_EQ(mode(6), 8);
}

TEST_P(B3mBusTest, AServoThatRunsThoughItShouldBeFreeIsFreedAgain) {
  Configure();
  constexpr uint8_t kTorqueMode = 8;
  ASSERT_TRUE(servo(6).Write(b3m::kMode, {&kTorqueMode, 1}));
  RunTicks(2, AllOf({}));
  EXPECT_EQ(mode(6), 2);
}

TEST_P(B3mBusTest, TellsFaultsInWordsUntilTheyAreCleared) {
  Configure();
  RunTicks(5, AllOf(Torque(0.01)));
  servo(2).AddStatus(b3m::kMotorStatus, b3m::kMotorOverTemperature);
  servo(3).AddStatus(b3m::kSystemStatus, b3m::kInputVoltage);
  RunTicks(3, AllOf(Torque(0.01)));
  EXPECT_EQ(bus->DescribeFault(measurements[0].fault), "none");
  EXPECT_EQ(bus->DescribeFault(measurements[2].fault), "motor too hot");
  EXPECT_EQ(bus->DescribeFault(measurements[3].fault), "supply voltage");
  EXPECT_GE(bus->counters().device_errors, 4);
  EXPECT_EQ(world.torques_nm[2], 0);
  ASSERT_OK(bus->ClearFaults());
  RunTicks(2, AllOf({}));
  EXPECT_THAT(measurements, Each(Field(&JointMeasurement::fault, 0)));
  EXPECT_EQ(mode(0), 2);
}

TEST_P(B3mBusTest, ASagOfTheSupplyIsAFaultOfTheServosOwn) {
  Configure();
  servo(1).SetSupply(5);
  RunTicks(3, AllOf({}));
  EXPECT_NEAR(measurements[1].voltage_v, 5, 1e-3);
  EXPECT_EQ(bus->DescribeFault(measurements[1].fault), "supply voltage");
}

TEST_P(B3mBusTest, KeepsOldValuesOfAServoThatDoesNotAnswer) {
  Configure();
  world.plant.Place(8, 0.5, 0);
  world.Advance(absl::Milliseconds(1));
  Read();
  servo(8).Restart(world.Now());
  world.plant.Place(8, 0.9, 0);
  EXPECT_EQ(Read(), BusResult::Code::kIncomplete);
  EXPECT_FALSE(measurements[8].fresh);
  EXPECT_NEAR(measurements[8].position_rad, 0.5, kTick);
  EXPECT_EQ(num_fresh(), kJoints - 1);
  EXPECT_EQ(bus->counters().missing_replies, 1);
}

TEST_P(B3mBusTest, LateRepliesAreNeverTakenForNewOnes) {
  Configure();
  world.plant.Place(0, 0.5, 0);
  world.Advance(absl::Milliseconds(1));
  world.wire(0).faults.reply_delay = absl::Milliseconds(3);  // the bus waits for 2 ms
  EXPECT_EQ(Read(absl::Microseconds(2400)), BusResult::Code::kIncomplete);
  EXPECT_FALSE(measurements[0].fresh);
  world.wire(0).faults.reply_delay = absl::ZeroDuration();
  world.plant.Place(0, 1.5, 0);
  world.Advance(absl::Milliseconds(3));
  EXPECT_EQ(Read(), BusResult::Code::kOk);
  EXPECT_NEAR(measurements[0].position_rad, 1.5, kTick);
  EXPECT_GE(bus->counters().late_or_duplicate_replies, 1);
}

// The reply to a request that was given up arrives just after the same servo is asked again, sooner than the
// wire could carry the answer.
TEST_P(B3mBusTest, AReplyThatComesTooSoonIsAnOldOne) {
  Configure();
  world.wire(0).faults.reply_delay = absl::Microseconds(2400);
  Read(absl::Microseconds(2400));
  world.wire(0).faults.reply_delay = absl::ZeroDuration();
  ASSERT_EQ(num_fresh(), num_others());
  ASSERT_FALSE(world.wire(0).delayed.empty());
  world.Advance(world.wire(0).delayed.front().first - world.Now() - absl::Microseconds(100));
  world.plant.Place(0, 1.5, 0);
  Read();
  EXPECT_EQ(bus->counters().late_or_duplicate_replies, 1);
  EXPECT_TRUE(measurements[0].fresh);
}

TEST_P(B3mBusTest, ReadsMostServosThroughABabblingDevice) {
  Configure();
  world.wire(0).faults.babble_bytes = 20;
  int fresh = 0;
  for (int i = 0; i < 20; ++i) {
    Read(absl::Milliseconds(30));
    fresh += num_fresh();
    for (const JointMeasurement& measured : measurements) {
      EXPECT_NEAR(measured.position_rad, 0, kTick);
    }
  }
  EXPECT_GT(fresh, 20 * kJoints * 3 / 4);
  EXPECT_GT(bus->counters().skipped_bytes, 100);
}

TEST(B3mOptionsTest, RefusesWhatCannotBe) {
  const auto create = [](const B3mOptions& options) {
    EmulatedWorld world(1);
    B3mEmulator emulator({});
    std::vector<std::unique_ptr<ByteStream>> streams;
    streams.push_back(world.Connect(&emulator));
    return B3mBus::Create(options, std::move(streams), &world).status();
  };
  const auto invalid = [](const char* what) {
    return testing::StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(what));
  };
  EXPECT_THAT(create({}), invalid("0 servos"));
  EXPECT_THAT(create({.servos = {{0, 1}, {0, 1}}}), invalid("both servo 1"));
  EXPECT_THAT(create({.servos = {{1, 1}}}), invalid("wires 0..0"));
  EXPECT_THAT(create({.servos = {{0, 255}}}), invalid("ids 0..254"));
  EXPECT_THAT(create({.servos = {{0, 1}}, .baud_rate = 0}), invalid("baud rate 0"));
  EXPECT_THAT(create({.servos = {{0, 1}}, .max_torque_nm = 40}), invalid("limit 40"));
}

}  // namespace
}  // namespace demorl
