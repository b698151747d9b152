#include "common/robot/drivers/dynamixel/dynamixel_bus.h"

#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/robot/drivers/dynamixel/dynamixel_emulator.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/counting_allocator.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/robot/b3m/emulated_wire.h"

namespace demorl {
namespace {

using ::demorl::testing::EmulatedWorld;
using ::testing::Each;
using ::testing::Field;
using ::testing::HasSubstr;

constexpr int kJoints = 6;
constexpr double kCurrentUnitNm = dxl::kCurrentUnitA * 4.1 / 2.3;

std::vector<JointCommand> AllOf(const JointCommand& command) {
  return std::vector<JointCommand>(kJoints, command);
}
JointCommand Torque(double torque_nm) { return {.mode = ActuatorMode::kTorque, .torque_nm = torque_nm}; }
JointCommand Position(double position_rad) {
  return {.mode = ActuatorMode::kPosition, .position_rad = position_rad};
}

struct Setup {
  const char* name;
  int num_wires;
  uint8_t firmware;
};

// Six actuators, ids 1..6, spread evenly over the wires.
class DynamixelBusTest : public ::testing::TestWithParam<Setup> {
 protected:
  DynamixelBusTest() : num_wires_(GetParam().num_wires), world_(kJoints), measurements_(kJoints) {
    emulated_.resize(num_wires_);
    for (int joint = 0; joint < kJoints; ++joint) {
      emulated_[joint % num_wires_].servos.push_back(
          {.id = static_cast<uint8_t>(joint + 1), .joint = joint, .firmware = GetParam().firmware});
      options_.servos.push_back({joint % num_wires_, static_cast<uint8_t>(joint + 1)});
    }
  }

  void MakeBus() {
    std::vector<std::unique_ptr<ByteStream>> streams;
    for (const DynamixelEmulatorOptions& emulated : emulated_) {
      emulators_.push_back(std::make_unique<DynamixelEmulator>(emulated));
      streams.push_back(world_.Connect(emulators_.back().get()));
    }
    world_.Advance(absl::Milliseconds(2));
    ASSERT_OK_AND_ASSIGN(bus_, DynamixelBus::Create(options_, std::move(streams), &world_));
  }
  void Configure(absl::Duration watchdog = absl::ZeroDuration()) {
    MakeBus();
    ASSERT_OK(bus_->Configure(watchdog));
  }

  BusResult::Code Read(absl::Duration budget = absl::Milliseconds(8)) {
    return bus_->Read(world_.Now() + budget, measurements_).code;
  }
  // Ticks of a control loop.
  void Run(int num_ticks, const std::vector<JointCommand>& commands) {
    for (int tick = 0; tick < num_ticks; ++tick) {
      const absl::Duration start = world_.Now();
      Read();
      EXPECT_LE(world_.Now(), start + absl::Milliseconds(8));
      bus_->Write(commands);
      world_.Advance(start + absl::Milliseconds(10) - world_.Now());
    }
  }

  dxl::EmulatedServo& servo(int joint) { return emulators_[joint % num_wires_]->servo(joint / num_wires_); }
  int32_t Value(int joint, uint16_t address, size_t num_bytes = 1) {
    return servo(joint).Value(address, num_bytes);
  }
  int num_fresh() const {
    return static_cast<int>(
        std::count_if(measurements_.begin(), measurements_.end(), [](const auto& m) { return m.fresh; }));
  }
  // Joints on the other wires than the first.
  int num_others() const { return kJoints - kJoints / num_wires_; }

  const int num_wires_;
  EmulatedWorld world_;
  std::vector<DynamixelEmulatorOptions> emulated_;
  std::vector<std::unique_ptr<DynamixelEmulator>> emulators_;
  DynamixelOptions options_;
  std::unique_ptr<DynamixelBus> bus_;
  std::vector<JointMeasurement> measurements_;
};

INSTANTIATE_TEST_SUITE_P(Setups, DynamixelBusTest,
                         ::testing::Values(Setup{"Fast", 1, 46}, Setup{"Old", 1, 44},
                                           Setup{"FastOnTwo", 2, 46}),
                         [](const auto& info) { return info.param.name; });

TEST_P(DynamixelBusTest, TellsWhatTheActuatorsAre) {
  emulated_[0].servos[0].model = dxl::FindModel(1030);
  MakeBus();
  ASSERT_OK_AND_ASSIGN(const std::vector<ActuatorInfo> infos, bus_->Identify());
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
  emulated_[0].servos[0].model = &kOther;
  MakeBus();
  EXPECT_THAT(bus_->Identify().status(), testing::StatusIs(absl::StatusCode::kFailedPrecondition,
                                                           HasSubstr("want XM430-W350 (1020), XM430-W210")));
}

TEST_P(DynamixelBusTest, RefusesTorquesOfActuatorsWithoutCurrent) {
  emulated_[0].servos[0].model = dxl::FindModel(1060);
  MakeBus();
  for (const absl::Status& status : {bus_->Identify().status(), bus_->Configure(absl::ZeroDuration())}) {
    EXPECT_THAT(status, testing::StatusIs(absl::StatusCode::kFailedPrecondition,
                                          HasSubstr("XL430-W250 cannot control its current")));
  }
}

TEST_P(DynamixelBusTest, ConfiguresWithTheTorqueOff) {
  MakeBus();
  constexpr uint8_t kOn = 1, kPingOnly = 0;
  ASSERT_EQ(servo(2).Write(dxl::kTorqueEnable, {&kOn, 1}), 0);
  ASSERT_EQ(servo(3).Write(dxl::kStatusReturnLevel, {&kPingOnly, 1}), 0);
  ASSERT_OK(bus_->Configure(absl::Milliseconds(50)));
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
    world_.plant.Place(joint, 0.1 * joint, -0.5 * joint);
  }
  world_.Advance(absl::Milliseconds(1));
  ASSERT_EQ(Read(), BusResult::Code::kOk);
  for (int joint = 0; joint < kJoints; ++joint) {
    EXPECT_NEAR(measurements_[joint].velocity_rad_s, -0.5 * joint, dxl::kVelocityUnitRadS / 2);
    EXPECT_NEAR(measurements_[joint].position_rad, 0.1 * joint, 0.006);  // it moves while it is read
    EXPECT_LE(measurements_[joint].time, world_.Now());
  }
  Run(3 * kJoints, AllOf({}));
  EXPECT_NEAR(measurements_[4].temperature_c, 30, 1e-9);
  EXPECT_NEAR(measurements_[4].voltage_v, 12, 1e-9);
}

TEST_P(DynamixelBusTest, TurnsTorquesIntoMotion) {
  Configure();
  Run(3, AllOf(Torque(0.1)));
  EXPECT_THAT(world_.torques_nm, Each(::testing::DoubleNear(0.1, kCurrentUnitNm)));
  EXPECT_GT(world_.plant.velocity_rad_s(4), 0);
  Read();
  EXPECT_NEAR(measurements_[3].torque_nm, 0.1, kCurrentUnitNm);
}

TEST_P(DynamixelBusTest, BoundsTorquesByTheCommandAndByTheDevicesLimit) {
  MakeBus();
  constexpr uint8_t kLimit[] = {100, 0};
  ASSERT_EQ(servo(1).Write(dxl::kCurrentLimit, kLimit), 0);
  ASSERT_OK(bus_->Configure(absl::ZeroDuration()));
  std::vector<JointCommand> commands = AllOf(Torque(-50));
  commands[0].max_torque_nm = 0.25;
  Run(2, commands);
  EXPECT_NEAR(world_.torques_nm[0], -0.25, kCurrentUnitNm);
  EXPECT_NEAR(world_.torques_nm[1], -100 * kCurrentUnitNm, 1e-9);
  EXPECT_NEAR(world_.torques_nm[2], -4.1, 1e-9);
}

TEST_P(DynamixelBusTest, ComputesImpedanceAndDampingFromTheLastRead) {
  Configure();
  world_.plant.Place(0, 0, 2);
  world_.plant.Place(1, 0.2, 0);
  world_.Advance(absl::Milliseconds(1));
  std::vector<JointCommand> commands = AllOf({});
  commands[0] = {.mode = ActuatorMode::kDamping, .damping_nm_s_rad = 0.05};
  commands[1] = {.mode = ActuatorMode::kPosition,
                 .position_rad = 0.5,
                 .torque_nm = 0.1,
                 .stiffness_nm_rad = 1,
                 .damping_nm_s_rad = 0.05};
  Run(1, commands);
  EXPECT_NEAR(world_.torques_nm[0], -0.1, 2 * kCurrentUnitNm);
  EXPECT_NEAR(world_.torques_nm[1], 0.4, 2 * kCurrentUnitNm);
  Run(200, commands);
  EXPECT_NEAR(world_.plant.velocity_rad_s(0), 0, 0.1);
  EXPECT_NEAR(world_.plant.position_rad(1), 0.6, 0.05);
}

TEST_P(DynamixelBusTest, HoldsPositionsWithABoundOnTheCurrent) {
  options_.control = DynamixelControl::kCurrentBasedPosition;
  Configure();
  std::vector<JointCommand> commands = AllOf(Position(0.3));
  commands[2].max_torque_nm = 0.05;
  Run(2, commands);  // with its torque an actuator takes where it is as its goal, until the next
  EXPECT_NEAR(world_.torques_nm[2], 0.05, kCurrentUnitNm);
  EXPECT_GT(world_.torques_nm[1], 1);
  Run(200, commands);
  EXPECT_NEAR(world_.plant.position_rad(5), 0.3, 0.01);
}

TEST_P(DynamixelBusTest, PositionControlTakesNoTorquesAndSaysSo) {
  options_.control = DynamixelControl::kPosition;
  emulated_[0].servos[0].model = dxl::FindModel(1060);
  Configure();
  std::vector<JointCommand> commands = AllOf(Position(0.2));
  commands[1] = Torque(1);
  Run(100, commands);
  EXPECT_NEAR(world_.plant.position_rad(0), 0.2, 0.01);
  EXPECT_EQ(Value(1, dxl::kTorqueEnable), 0);
  EXPECT_EQ(bus_->DescribeFault(measurements_[1].fault),
            "torques cannot be commanded under position control");
  commands[1] = Position(0.1);
  Run(2, commands);
  EXPECT_EQ(measurements_[1].fault, 0);
}

TEST_P(DynamixelBusTest, DampingUnderPositionControlLetsTheGoalFollowTheJoint) {
  options_.control = DynamixelControl::kPosition;
  Configure();
  world_.plant.Place(3, 0, 1);
  Run(1, AllOf({.mode = ActuatorMode::kDamping}));
  Run(30, AllOf({.mode = ActuatorMode::kDamping}));
  EXPECT_LT(std::abs(world_.plant.velocity_rad_s(3)), 0.5);
}

TEST_P(DynamixelBusTest, ACommandThatIsNoNumberFreesItsJointAlone) {
  Configure();
  std::vector<JointCommand> commands = AllOf(Torque(0.01));
  commands[3].torque_nm = std::numeric_limits<double>::quiet_NaN();
  commands[4].max_torque_nm = std::numeric_limits<double>::quiet_NaN();
  Run(2, commands);
  EXPECT_EQ(Value(3, dxl::kTorqueEnable), 0);
  EXPECT_EQ(Value(4, dxl::kTorqueEnable), 0);
  EXPECT_EQ(Value(5, dxl::kTorqueEnable), 1);
}

TEST_P(DynamixelBusTest, NeverTalksWhileAReplyIsDue) {
  Configure();
  Run(30, AllOf(Torque(0.01)));
  for (auto& emulator : emulators_) {
    EXPECT_EQ(emulator->num_collisions(), 0);
  }
  EXPECT_EQ(bus_->counters().missing_replies, 0);
  EXPECT_EQ(bus_->counters().late_or_duplicate_replies, 0);
  EXPECT_EQ(bus_->counters().skipped_bytes, 0);
}

TEST_P(DynamixelBusTest, ALostTorqueSwitchIsWrittenAgain) {
  Configure();
  world_.wire(0).faults.stuck = true;
  bus_->Write(AllOf(Torque(0.01)));
  world_.wire(0).faults.stuck = false;
  EXPECT_EQ(Value(0, dxl::kTorqueEnable), 0);
  bus_->Write(AllOf(Torque(0.01)));
  EXPECT_EQ(Value(0, dxl::kTorqueEnable), 1);
}

TEST_P(DynamixelBusTest, TheWatchdogStopsTheMotorsWhenTheHostIsSilent) {
  Configure(absl::Milliseconds(40));
  Run(10, AllOf(Torque(0.1)));
  EXPECT_THAT(measurements_, Each(Field(&JointMeasurement::fault, 0)));
  world_.Advance(absl::Milliseconds(60));
  EXPECT_THAT(world_.torques_nm, Each(0.0));
  Run(1, AllOf(Torque(0.1)));
  Read();
  EXPECT_THAT(measurements_, Each(Field(&JointMeasurement::fault, DynamixelBus::kWatchdog)));
  EXPECT_THAT(world_.torques_nm, Each(0.0));

  // Configuring anew does not end it, the operator's clear does.
  ASSERT_OK(bus_->Configure(absl::Milliseconds(40)));
  Run(2, AllOf(Torque(0.1)));
  EXPECT_EQ(bus_->DescribeFault(measurements_[0].fault), "bus watchdog tripped");
  EXPECT_THAT(world_.torques_nm, Each(0.0));
  ASSERT_OK(bus_->ClearFaults());
  EXPECT_THAT(world_.torques_nm, Each(0.0));
  Run(20, AllOf(Torque(0.1)));
  EXPECT_THAT(measurements_, Each(Field(&JointMeasurement::fault, 0)));
  EXPECT_NEAR(world_.torques_nm[0], 0.1, kCurrentUnitNm);
  EXPECT_EQ(Value(0, dxl::kBusWatchdog), 2);
}

TEST_P(DynamixelBusTest, FindsATrippedWatchdogInTurn) {
  Configure(absl::Milliseconds(40));
  Run(5, AllOf(Torque(0.1)));
  constexpr int kUnits = 1;
  constexpr uint8_t kUnit = kUnits;
  ASSERT_EQ(servo(3).Write(dxl::kBusWatchdog, {&kUnit, 1}), 0);
  servo(3).FeedWatchdog(world_.Now() - absl::Seconds(1));  // it alone missed what was said
  servo(3).Step(world_.Now(), 0, 0);
  ASSERT_EQ(Value(3, dxl::kBusWatchdog), dxl::kWatchdogTripped);
  Run(3 * kJoints, AllOf(Torque(0.1)));
  EXPECT_EQ(measurements_[3].fault, DynamixelBus::kWatchdog);
  EXPECT_EQ(measurements_[2].fault, 0);
}

TEST_P(DynamixelBusTest, TellsHardwareErrorsInWordsUntilTheyAreCleared) {
  Configure();
  Run(5, AllOf(Torque(0.01)));
  servo(2).AddHardwareError(dxl::kOverload);
  Run(2, AllOf(Torque(0.01)));
  EXPECT_THAT(bus_->DescribeFault(measurements_[2].fault), HasSubstr("overload"));
  EXPECT_EQ(measurements_[1].fault, 0);
  EXPECT_EQ(world_.torques_nm[2], 0);
  EXPECT_GE(bus_->counters().device_errors, 2);
  ASSERT_OK(bus_->ClearFaults());
  Run(2, AllOf({}));
  EXPECT_EQ(measurements_[2].fault, 0);
}

TEST_P(DynamixelBusTest, AnActuatorThatRestartedIsAFaultAndStaysOff) {
  Configure();
  Run(5, AllOf(Torque(0.01)));
  servo(1).Restart(world_.Now());
  world_.Advance(absl::Milliseconds(200));
  Run(3 * kJoints, AllOf(Torque(0.01)));
  EXPECT_EQ(measurements_[1].fault, DynamixelBus::kTorqueLost);
  EXPECT_EQ(Value(1, dxl::kTorqueEnable), 0);
  Run(2, AllOf({}));  // the operator's clear begins with free
  EXPECT_EQ(measurements_[1].fault, 0);
}

TEST_P(DynamixelBusTest, AnActuatorThatRunsThoughItShouldBeOffIsSwitchedOff) {
  Configure();
  constexpr uint8_t kOn = 1;
  ASSERT_EQ(servo(4).Write(dxl::kTorqueEnable, {&kOn, 1}), 0);
  Run(3 * kJoints + 1, AllOf({}));
  EXPECT_EQ(Value(4, dxl::kTorqueEnable), 0);
}

TEST_P(DynamixelBusTest, KeepsWhatCameBeforeASilentActuator) {
  Configure();
  world_.Advance(absl::Milliseconds(1));
  const int silent = 3;
  servo(silent).Restart(world_.Now());
  EXPECT_EQ(Read(), BusResult::Code::kIncomplete);
  for (int joint = 0; joint < silent; ++joint) {
    EXPECT_TRUE(measurements_[joint].fresh) << joint;
  }
  EXPECT_FALSE(measurements_[silent].fresh);
  EXPECT_GE(bus_->counters().missing_replies, 1);
}

TEST_P(DynamixelBusTest, AStuckBusIsIncompleteAndTellsInTime) {
  Configure();
  world_.wire(0).faults.stuck = true;
  const absl::Duration start = world_.Now();
  EXPECT_EQ(Read(absl::Milliseconds(5)), BusResult::Code::kIncomplete);
  EXPECT_LE(world_.Now(), start + absl::Milliseconds(5));
  EXPECT_EQ(num_fresh(), num_others());
}

TEST_P(DynamixelBusTest, AnUnpluggedBusIsClosedAndStaysSo) {
  Configure();
  world_.wire(0).faults.unplugged = true;
  EXPECT_EQ(Read(), BusResult::Code::kClosed);
  EXPECT_EQ(bus_->Write(AllOf(Torque(0.1))).code, BusResult::Code::kClosed);
  EXPECT_EQ(num_fresh(), num_others());
  world_.wire(0).faults.unplugged = false;
  EXPECT_EQ(Read(), BusResult::Code::kClosed);
  EXPECT_THAT(bus_->Identify().status(),
              testing::StatusIs(absl::StatusCode::kUnavailable, HasSubstr("unplugged")));
}

TEST_P(DynamixelBusTest, AWrongIdIsNamed) {
  options_.servos[4].id = 77;
  MakeBus();
  EXPECT_THAT(bus_->Identify().status(),
              testing::StatusIs(absl::StatusCode::kNotFound, HasSubstr("servo 77 on wire")));
}

TEST_P(DynamixelBusTest, LateRepliesAreNeverTakenForNewOnes) {
  Configure();
  world_.plant.Place(0, 0.5, 0);
  world_.Advance(absl::Milliseconds(1));
  world_.wire(0).faults.reply_delay = absl::Milliseconds(6);
  EXPECT_EQ(Read(absl::Milliseconds(5)), BusResult::Code::kIncomplete);
  EXPECT_FALSE(measurements_[0].fresh);
  world_.wire(0).faults.reply_delay = absl::ZeroDuration();
  world_.plant.Place(0, 1.5, 0);
  // The old one comes while the new one is awaited, and late enough to be it.
  ASSERT_FALSE(world_.wire(0).delayed.empty());
  const absl::Duration due = world_.wire(0).delayed.front().first;
  world_.Advance(due - world_.Now() - absl::Microseconds(1200));
  EXPECT_EQ(Read(), BusResult::Code::kOk);
  EXPECT_NEAR(measurements_[0].position_rad, 1.5, dxl::kPositionUnitRad);
  world_.Advance(absl::Milliseconds(2));
  EXPECT_EQ(Read(), BusResult::Code::kOk);
  EXPECT_GE(bus_->counters().late_or_duplicate_replies, 1);
}

TEST_P(DynamixelBusTest, DuplicateRepliesAreCountedAndHarmless) {
  Configure();
  for (int joint = 0; joint < kJoints; ++joint) {
    world_.plant.Place(joint, 0.1 * joint, 0);
  }
  world_.Advance(absl::Milliseconds(1));
  world_.wire(0).faults.duplicate_replies = true;
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(Read(), BusResult::Code::kOk);
    for (int joint = 0; joint < kJoints; ++joint) {
      EXPECT_NEAR(measurements_[joint].position_rad, 0.1 * joint, dxl::kPositionUnitRad);
    }
  }
  EXPECT_GE(bus_->counters().late_or_duplicate_replies, 5);
}

TEST_P(DynamixelBusTest, CorruptedRepliesAreMissing) {
  Configure();
  world_.wire(0).faults.corrupted_share = 1;
  EXPECT_EQ(Read(absl::Milliseconds(30)), BusResult::Code::kIncomplete);
  EXPECT_EQ(num_fresh(), num_others());
  EXPECT_GT(bus_->counters().bad_messages + bus_->counters().skipped_bytes, 0);
}

TEST_P(DynamixelBusTest, ReadsThroughABabblingDevice) {
  Configure();
  world_.wire(0).faults.babble_bytes = 5;
  int fresh = 0;
  for (int i = 0; i < 50; ++i) {
    Read(absl::Milliseconds(30));
    fresh += num_fresh();
    for (const JointMeasurement& measured : measurements_) {
      EXPECT_NEAR(measured.position_rad, 0, dxl::kPositionUnitRad);
    }
  }
  EXPECT_GT(fresh, 50 * kJoints / 2);
  EXPECT_GT(bus_->counters().skipped_bytes, 100);
}

TEST_P(DynamixelBusTest, RepliesOfForeignDevicesAreBadMessages) {
  Configure();
  std::array<uint8_t, 32> foreign;
  const size_t size = dxl::EncodeStatus(99, 0, {}, foreign);
  world_.wire(0).inbox.assign(foreign.begin(), foreign.begin() + size);
  EXPECT_EQ(Read(), BusResult::Code::kOk);
  EXPECT_EQ(bus_->counters().bad_messages, 1);
}

TEST_P(DynamixelBusTest, AnAdapterThatEchoesIsUnderstoodIfAnnounced) {
  options_.echo = true;
  MakeBus();
  world_.wire(0).echoes = true;
  ASSERT_OK(bus_->Configure(absl::ZeroDuration()));
  Run(5, AllOf(Torque(0.01)));
  EXPECT_EQ(num_fresh(), kJoints);
  EXPECT_EQ(bus_->counters().bad_messages, 0);
}

TEST_P(DynamixelBusTest, FinishesAPacketThatTheStreamTookInPart) {
  Configure();
  Run(5, AllOf(Torque(0.1)));
  world_.wire(0).max_write_bytes = 9;
  bus_->Write(AllOf(Torque(0.2)));
  world_.wire(0).max_write_bytes = 1000;
  bus_->Write(AllOf(Torque(0.3)));
  world_.Advance(absl::Milliseconds(1));
  EXPECT_THAT(world_.torques_nm, Each(::testing::DoubleNear(0.3, kCurrentUnitNm)));
}

// A wire whose devices answer each fast sync read and read with zeros and an alert, from memory of fixed
// size.
class ZeroDevices final : public ByteStream, public Clock {
 public:
  absl::Duration Now() const override { return now_; }
  IoResult Write(std::span<const uint8_t> bytes) override {
    now_ += absl::Microseconds(10) * static_cast<double>(bytes.size());
    parser_.Push(bytes);
    while (const std::optional<dxl::Packet> packet = parser_.Next()) {
      Answer(*packet);
    }
    return {.num_bytes = bytes.size()};
  }
  IoResult Read(std::span<uint8_t> bytes, absl::Duration deadline) override {
    if (reply_bytes_ == 0 || deadline < now_) {
      now_ = std::max(now_, deadline);
      return {.code = IoResult::Code::kTimedOut};
    }
    now_ += absl::Microseconds(10) * static_cast<double>(reply_bytes_);
    std::copy_n(reply_.begin(), reply_bytes_, bytes.begin());
    return {.num_bytes = std::exchange(reply_bytes_, 0)};
  }
  void DiscardInput() override {}

 private:
  void Answer(const dxl::Packet& packet) {
    const std::span<const uint8_t> zeros(zeros_);
    switch (static_cast<dxl::Instruction>(packet.instruction)) {
      case dxl::Instruction::kPing:
        reply_bytes_ = dxl::EncodeStatus(packet.id, 0, std::array<uint8_t, 3>{0xFC, 0x03, 46}, reply_);
        break;
      case dxl::Instruction::kRead: {
        std::array<uint8_t, 64> data = {};
        data[dxl::kMaxPosition - dxl::kCurrentLimit] = 1;
        reply_bytes_ = dxl::EncodeStatus(packet.id, dxl::kAlert,
                                         std::span(data).first(dxl::LoadU16(packet.parameters, 2)), reply_);
        break;
      }
      case dxl::Instruction::kWrite:
        reply_bytes_ = dxl::EncodeStatus(packet.id, 0, {}, reply_);
        break;
      case dxl::Instruction::kFastSyncRead: {
        const std::span<const uint8_t> ids = packet.parameters.subspan(4);
        const size_t num_bytes = dxl::LoadU16(packet.parameters, 2);
        dxl::FastStatusWriter writer(ids.size(), ids.size() * num_bytes, reply_);
        for (const uint8_t id : ids) {
          writer.Add(dxl::kAlert, id, zeros.first(num_bytes));
        }
        reply_bytes_ = writer.size();
        break;
      }
      default:
        break;
    }
  }

  absl::Duration now_ = absl::Seconds(1);
  dxl::Parser parser_;
  std::array<uint8_t, 64> zeros_ = {};
  std::array<uint8_t, dxl::kMaxPacketBytes> reply_;
  size_t reply_bytes_ = 0;
};

TEST(DynamixelAllocationTest, NeitherReadNorWriteAllocates) {
  if (!CountsAllocations()) {
    GTEST_SKIP() << "a sanitizer brings its own allocator";
  }
  auto devices = std::make_unique<ZeroDevices>();
  const ZeroDevices& clock = *devices;
  std::vector<std::unique_ptr<ByteStream>> streams;
  streams.push_back(std::move(devices));
  DynamixelOptions options;
  for (uint8_t id = 0; id < kJoints; ++id) {
    options.servos.push_back({0, id});
  }
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<DynamixelBus> bus,
                       DynamixelBus::Create(options, std::move(streams), &clock));
  ASSERT_OK(bus->Configure(absl::Milliseconds(20)));
  std::vector<JointMeasurement> measurements(kJoints);
  const std::vector<JointCommand> torques = AllOf(Torque(0.02)), positions = AllOf(Position(0.1));
  const int64_t before = NumAllocations();
  for (const std::vector<JointCommand>* commands : {&torques, &positions, &torques}) {
    EXPECT_TRUE(bus->Read(clock.Now() + absl::Milliseconds(8), measurements).ok());
    EXPECT_TRUE(bus->Write(*commands).ok());
  }
  EXPECT_EQ(NumAllocations() - before, 0);
  EXPECT_TRUE(measurements[5].fresh);
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
