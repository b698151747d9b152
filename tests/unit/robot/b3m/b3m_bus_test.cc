#include "common/robot/drivers/b3m/b3m_bus.h"

#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/robot/drivers/b3m/b3m_emulator.h"
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

constexpr int kJoints = 12;
constexpr double kTick = std::numbers::pi / 18'000;  // 0.01 deg

std::vector<JointCommand> AllOf(const JointCommand& command) {
  return std::vector<JointCommand>(kJoints, command);
}
JointCommand Torque(double torque_nm) { return {.mode = ActuatorMode::kTorque, .torque_nm = torque_nm}; }
JointCommand Position(double position_rad) {
  return {.mode = ActuatorMode::kPosition, .position_rad = position_rad};
}

// Twelve servos, ids 1..12, spread evenly over the wires.
class B3mBusTest : public ::testing::TestWithParam<int> {
 protected:
  B3mBusTest() : num_wires_(GetParam()), world_(kJoints) {
    for (int wire = 0; wire < num_wires_; ++wire) {
      B3mEmulatorOptions options;
      for (int joint = wire; joint < kJoints; joint += num_wires_) {
        options.servos.push_back({.id = static_cast<uint8_t>(joint + 1), .joint = joint});
      }
      emulators_.push_back(std::make_unique<B3mEmulator>(options));
    }
    for (int joint = 0; joint < kJoints; ++joint) {
      options_.servos.push_back({joint % num_wires_, static_cast<uint8_t>(joint + 1)});
    }
    measurements_.resize(kJoints);
  }

  void MakeBus() {
    std::vector<std::unique_ptr<ByteStream>> streams;
    for (auto& emulator : emulators_) {
      streams.push_back(world_.Connect(emulator.get()));
    }
    ASSERT_OK_AND_ASSIGN(bus_, B3mBus::Create(options_, std::move(streams), &world_));
  }

  void Configure() {
    MakeBus();
    ASSERT_OK(bus_->Configure(absl::Milliseconds(50)));
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

  b3m::EmulatedServo& servo(int joint) { return emulators_[joint % num_wires_]->servo(joint / num_wires_); }
  uint8_t mode(int joint) { return servo(joint).Read(b3m::kMode, 1)[0]; }
  int num_fresh() const {
    return static_cast<int>(
        std::count_if(measurements_.begin(), measurements_.end(), [](const auto& m) { return m.fresh; }));
  }

  const int num_wires_;
  EmulatedWorld world_;
  std::vector<std::unique_ptr<B3mEmulator>> emulators_;
  B3mOptions options_;
  std::unique_ptr<B3mBus> bus_;
  std::vector<JointMeasurement> measurements_;
};

INSTANTIATE_TEST_SUITE_P(Wires, B3mBusTest, ::testing::Values(1, 4),
                         [](const auto& info) { return absl::StrCat("On", info.param); });

TEST_P(B3mBusTest, TellsWhatTheServosAre) {
  MakeBus();
  ASSERT_OK_AND_ASSIGN(const std::vector<ActuatorInfo> infos, bus_->Identify());
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
    world_.plant.Place(joint, 0.1 * joint, -0.02 * joint);
  }
  world_.Advance(absl::Milliseconds(1));
  ASSERT_EQ(Read(), BusResult::Code::kOk);
  for (int joint = 0; joint < kJoints; ++joint) {
    const JointMeasurement& measured = measurements_[joint];
    EXPECT_NEAR(measured.velocity_rad_s, -0.02 * joint, kTick);
    EXPECT_NEAR(measured.position_rad, 0.1 * joint, 0.0015);  // it moves while it is read
    EXPECT_NEAR(measured.voltage_v, 11.1, 1e-3);
    EXPECT_NEAR(measured.temperature_c, 25, 0.01);
    EXPECT_EQ(measured.fault, 0);
    EXPECT_LE(measured.time, world_.Now());
  }
}

TEST_P(B3mBusTest, TellsVelocitiesBeyondTheirRegisterByThePositions) {
  Configure();
  for (const double velocity_rad_s : {4.0, -9.0}) {
    world_.plant.Place(2, 0, velocity_rad_s);
    world_.Advance(absl::Milliseconds(1));
    Read();
    world_.Advance(absl::Milliseconds(10));
    ASSERT_EQ(Read(), BusResult::Code::kOk);
    // The world moves in steps of half a millisecond.
    EXPECT_NEAR(measurements_[2].velocity_rad_s, velocity_rad_s, velocity_rad_s == 4 ? kTick : 0.6);
  }
}

// 7 + 41 bytes of 10 bits at 1.5 Mbit/s, 30 us in between.
TEST_P(B3mBusTest, ReadsTheWiresSideBySide) {
  Configure();
  const absl::Duration start = world_.Now();
  ASSERT_EQ(Read(), BusResult::Code::kOk);
  const absl::Duration each = absl::Microseconds(350);
  EXPECT_GE(world_.Now() - start, each * kJoints / num_wires_);
  EXPECT_LE(world_.Now() - start, each * kJoints / num_wires_ + absl::Microseconds(150) * num_wires_);
}

TEST_P(B3mBusTest, TurnsTorquesIntoMotion) {
  Configure();
  Run(3, AllOf(Torque(0.01)));
  EXPECT_THAT(world_.torques_nm, Each(::testing::DoubleNear(0.01, 1e-9)));
  EXPECT_GT(world_.plant.velocity_rad_s(7), 0);
  Read();
  EXPECT_NEAR(measurements_[3].torque_nm, 0.01, 1e-3 * 7.6 / 5.4);
}

TEST_P(B3mBusTest, BoundsTorquesByTheCommandAndByItsOwnLimit) {
  options_.max_torque_nm = 2;
  Configure();
  std::vector<JointCommand> commands = AllOf(Torque(5));
  commands[1].max_torque_nm = 0.25;
  commands[2].torque_nm = -5;
  Run(2, commands);
  EXPECT_DOUBLE_EQ(world_.torques_nm[0], 2);
  EXPECT_DOUBLE_EQ(world_.torques_nm[1], 0.25);
  EXPECT_DOUBLE_EQ(world_.torques_nm[2], -2);
}

TEST_P(B3mBusTest, HoldsPositionsWithTheServosOwnControl) {
  Configure();
  Run(100, AllOf(Position(0.3)));
  EXPECT_NEAR(world_.plant.position_rad(11), 0.3, 0.01);
}

TEST_P(B3mBusTest, WritesGainsWhenConfigured) {
  options_.position_gains = B3mGains{.kp = 0x12345678, .kd = 2, .ki = 3};
  Configure();
  EXPECT_THAT(servo(5).Read(b3m::kKp0, 12),
              ::testing::ElementsAre(0x78, 0x56, 0x34, 0x12, 2, 0, 0, 0, 3, 0, 0, 0));
}

TEST_P(B3mBusTest, DampingIsTheServosHold) {
  Configure();
  world_.plant.Place(2, 0, 3);
  Run(3, AllOf({.mode = ActuatorMode::kDamping}));
  EXPECT_EQ(mode(2), 3);
  EXPECT_LT(std::abs(world_.plant.velocity_rad_s(2)), 1);
}

TEST_P(B3mBusTest, ACommandThatIsNoNumberFreesItsJointAlone) {
  Configure();
  std::vector<JointCommand> commands = AllOf(Torque(0.01));
  commands[3].torque_nm = std::numeric_limits<double>::quiet_NaN();
  commands[4] = Position(std::numeric_limits<double>::infinity());
  Run(2, commands);
  EXPECT_EQ(mode(3), 2);
  EXPECT_EQ(mode(4), 2);
  EXPECT_EQ(mode(5), 8);
}

TEST_P(B3mBusTest, ASteadyTickWritesOnePacketAndNothingWhenFree) {
  Configure();
  Run(5, AllOf(Torque(0.01)));
  world_.wire(0).sent.clear();
  bus_->Write(AllOf(Torque(0.02)));
  EXPECT_EQ(world_.wire(0).sent.size(), 6 + 3 * kJoints / num_wires_);
  Run(5, AllOf({}));
  world_.wire(0).sent.clear();
  bus_->Write(AllOf({}));
  EXPECT_TRUE(world_.wire(0).sent.empty());
}

TEST_P(B3mBusTest, LeavesNoOldTorqueBehind) {
  Configure();
  Run(5, AllOf(Torque(0.5)));
  Run(5, AllOf({}));
  EXPECT_EQ(b3m::LoadI16(servo(0).Read(b3m::kTargetTorque, 2), 0), 0);
}

TEST_P(B3mBusTest, NeverTalksWhileAReplyIsDue) {
  Configure();
  Run(20, AllOf(Torque(0.01)));
  for (auto& emulator : emulators_) {
    EXPECT_EQ(emulator->num_collisions(), 0);
  }
  EXPECT_EQ(bus_->counters().missing_replies, 0);
  EXPECT_EQ(bus_->counters().skipped_bytes, 0);
}

TEST_P(B3mBusTest, AModeThatWasLostOnTheWayIsWrittenAgain) {
  Configure();
  world_.wire(0).faults.stuck = true;
  bus_->Write(AllOf(Torque(0.01)));
  world_.wire(0).faults.stuck = false;
  EXPECT_EQ(mode(0), 2);
  Run(1, AllOf(Torque(0.01)));
  EXPECT_EQ(mode(0), 8);
}

TEST_P(B3mBusTest, AServoThatRestartedIsAFaultAndStaysFree) {
  Configure();
  Run(5, AllOf(Torque(0.01)));
  servo(6).Restart(world_.Now());
  world_.Advance(absl::Milliseconds(200));
  Run(5, AllOf(Torque(0.01)));
  EXPECT_EQ(measurements_[6].fault, B3mBus::kModeLost);
  EXPECT_EQ(bus_->DescribeFault(measurements_[6].fault), "left its mode by itself");
  EXPECT_EQ(mode(6), 2);
  Run(5, AllOf({}));  // the operator's clear begins with free
  EXPECT_EQ(measurements_[6].fault, 0);
  Run(5, AllOf(Torque(0.01)));
  EXPECT_EQ(mode(6), 8);
}

TEST_P(B3mBusTest, AServoThatRunsThoughItShouldBeFreeIsFreedAgain) {
  Configure();
  constexpr uint8_t kTorqueMode = 8;
  ASSERT_TRUE(servo(6).Write(b3m::kMode, {&kTorqueMode, 1}));
  Run(2, AllOf({}));
  EXPECT_EQ(mode(6), 2);
}

TEST_P(B3mBusTest, TellsFaultsInWordsUntilTheyAreCleared) {
  Configure();
  Run(5, AllOf(Torque(0.01)));
  servo(2).AddStatus(b3m::kMotorStatus, b3m::kMotorOverTemperature);
  servo(3).AddStatus(b3m::kSystemStatus, b3m::kInputVoltage);
  Run(3, AllOf(Torque(0.01)));
  EXPECT_EQ(bus_->DescribeFault(measurements_[0].fault), "none");
  EXPECT_EQ(bus_->DescribeFault(measurements_[2].fault), "motor too hot");
  EXPECT_EQ(bus_->DescribeFault(measurements_[3].fault), "supply voltage");
  EXPECT_GE(bus_->counters().device_errors, 4);
  EXPECT_EQ(world_.torques_nm[2], 0);
  ASSERT_OK(bus_->ClearFaults());
  Run(2, AllOf({}));
  EXPECT_THAT(measurements_, Each(Field(&JointMeasurement::fault, 0)));
  EXPECT_EQ(mode(0), 2);
}

TEST_P(B3mBusTest, ASagOfTheSupplyIsAFaultOfTheServosOwn) {
  Configure();
  servo(1).SetSupply(5);
  Run(3, AllOf({}));
  EXPECT_NEAR(measurements_[1].voltage_v, 5, 1e-3);
  EXPECT_EQ(bus_->DescribeFault(measurements_[1].fault), "supply voltage");
}

TEST_P(B3mBusTest, KeepsOldValuesOfAServoThatDoesNotAnswer) {
  Configure();
  world_.plant.Place(8, 0.5, 0);
  world_.Advance(absl::Milliseconds(1));
  Read();
  servo(8).Restart(world_.Now());
  world_.plant.Place(8, 0.9, 0);
  EXPECT_EQ(Read(), BusResult::Code::kIncomplete);
  EXPECT_FALSE(measurements_[8].fresh);
  EXPECT_NEAR(measurements_[8].position_rad, 0.5, kTick);
  EXPECT_EQ(num_fresh(), kJoints - 1);
  EXPECT_EQ(bus_->counters().missing_replies, 1);
}

TEST_P(B3mBusTest, AStuckBusIsIncompleteAndTellsInTime) {
  Configure();
  world_.wire(0).faults.stuck = true;
  const absl::Duration start = world_.Now();
  EXPECT_EQ(Read(absl::Milliseconds(5)), BusResult::Code::kIncomplete);
  EXPECT_LE(world_.Now(), start + absl::Milliseconds(5));
  EXPECT_EQ(num_fresh(), kJoints - kJoints / num_wires_);
}

TEST_P(B3mBusTest, AnUnpluggedBusIsClosedAndStaysSo) {
  Configure();
  world_.wire(0).faults.unplugged = true;
  EXPECT_EQ(Read(), BusResult::Code::kClosed);
  EXPECT_EQ(bus_->Write(AllOf(Torque(0.1))).code, BusResult::Code::kClosed);
  EXPECT_EQ(num_fresh(), kJoints - kJoints / num_wires_);
  world_.wire(0).faults.unplugged = false;
  EXPECT_EQ(Read(), BusResult::Code::kClosed);
  EXPECT_THAT(bus_->Identify().status(),
              testing::StatusIs(absl::StatusCode::kUnavailable, HasSubstr("unplugged")));
}

TEST_P(B3mBusTest, AWrongIdIsNamed) {
  options_.servos[7].id = 77;
  MakeBus();
  EXPECT_THAT(bus_->Identify().status(),
              testing::StatusIs(absl::StatusCode::kNotFound, HasSubstr("servo 77 on wire")));
  EXPECT_THAT(bus_->Configure(absl::ZeroDuration()),
              testing::StatusIs(absl::StatusCode::kNotFound, HasSubstr("no reply")));
}

TEST_P(B3mBusTest, LateRepliesAreNeverTakenForNewOnes) {
  Configure();
  world_.plant.Place(0, 0.5, 0);
  world_.Advance(absl::Milliseconds(1));
  world_.wire(0).faults.reply_delay = absl::Milliseconds(3);  // the bus waits for 2 ms
  EXPECT_EQ(Read(absl::Microseconds(2400)), BusResult::Code::kIncomplete);
  EXPECT_FALSE(measurements_[0].fresh);
  world_.wire(0).faults.reply_delay = absl::ZeroDuration();
  world_.plant.Place(0, 1.5, 0);
  world_.Advance(absl::Milliseconds(3));
  EXPECT_EQ(Read(), BusResult::Code::kOk);
  EXPECT_NEAR(measurements_[0].position_rad, 1.5, kTick);
  EXPECT_GE(bus_->counters().late_or_duplicate_replies, 1);
}

// The reply to a request that was given up arrives just after the same servo is asked again, sooner than the
// wire could carry the answer.
TEST_P(B3mBusTest, AReplyThatComesTooSoonIsAnOldOne) {
  Configure();
  world_.wire(0).faults.reply_delay = absl::Microseconds(2400);
  Read(absl::Microseconds(2400));
  world_.wire(0).faults.reply_delay = absl::ZeroDuration();
  ASSERT_EQ(num_fresh(), kJoints - kJoints / num_wires_);
  ASSERT_FALSE(world_.wire(0).delayed.empty());
  world_.Advance(world_.wire(0).delayed.front().first - world_.Now() - absl::Microseconds(100));
  world_.plant.Place(0, 1.5, 0);
  Read();
  EXPECT_EQ(bus_->counters().late_or_duplicate_replies, 1);
  EXPECT_TRUE(measurements_[0].fresh);
}

TEST_P(B3mBusTest, DuplicateRepliesAreCountedAndHarmless) {
  Configure();
  for (int joint = 0; joint < kJoints; ++joint) {
    world_.plant.Place(joint, 0.1 * joint, 0);
  }
  world_.Advance(absl::Milliseconds(1));
  world_.wire(0).faults.duplicate_replies = true;
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(Read(), BusResult::Code::kOk);
    for (int joint = 0; joint < kJoints; ++joint) {
      EXPECT_NEAR(measurements_[joint].position_rad, 0.1 * joint, kTick);
    }
  }
  EXPECT_GE(bus_->counters().late_or_duplicate_replies, 5 * kJoints / num_wires_ - 1);
}

TEST_P(B3mBusTest, CorruptedRepliesAreMissing) {
  Configure();
  world_.wire(0).faults.corrupted_share = 1;
  EXPECT_EQ(Read(absl::Milliseconds(30)), BusResult::Code::kIncomplete);
  EXPECT_EQ(num_fresh(), kJoints - kJoints / num_wires_);
  EXPECT_EQ(bus_->counters().missing_replies, kJoints / num_wires_);
  EXPECT_GT(bus_->counters().bad_messages + bus_->counters().skipped_bytes, 0);
}

TEST_P(B3mBusTest, ReadsMostServosThroughABabblingDevice) {
  Configure();
  world_.wire(0).faults.babble_bytes = 20;
  int fresh = 0;
  for (int i = 0; i < 20; ++i) {
    Read(absl::Milliseconds(30));
    fresh += num_fresh();
    for (const JointMeasurement& measured : measurements_) {
      EXPECT_NEAR(measured.position_rad, 0, kTick);
    }
  }
  EXPECT_GT(fresh, 20 * kJoints * 3 / 4);
  EXPECT_GT(bus_->counters().skipped_bytes, 100);
}

TEST_P(B3mBusTest, RepliesOfForeignServosAreBadMessages) {
  Configure();
  std::array<uint8_t, 16> foreign;
  const size_t size = b3m::EncodeReply(b3m::Command::kRead, 0, 99, {}, foreign);
  world_.wire(0).inbox.assign(foreign.begin(), foreign.begin() + size);
  EXPECT_EQ(Read(), BusResult::Code::kOk);
  EXPECT_EQ(bus_->counters().bad_messages, 1);
}

TEST_P(B3mBusTest, AnAdapterThatEchoesIsUnderstoodIfAnnounced) {
  options_.echo = true;
  Configure();
  world_.wire(0).echoes = true;
  Run(5, AllOf(Torque(0.01)));
  EXPECT_EQ(num_fresh(), kJoints);
  EXPECT_EQ(bus_->counters().bad_messages, 0);
  EXPECT_EQ(bus_->counters().late_or_duplicate_replies, 0);
}

TEST_P(B3mBusTest, AnEchoThatWasNotAnnouncedIsNoReply) {
  Configure();
  world_.wire(0).echoes = true;
  EXPECT_EQ(Read(), BusResult::Code::kOk);
  EXPECT_EQ(bus_->counters().bad_messages, kJoints / num_wires_);
}

TEST_P(B3mBusTest, FinishesAPacketThatTheStreamTookInPart) {
  Configure();
  Run(5, AllOf(Torque(0.01)));
  world_.wire(0).max_write_bytes = 5;
  bus_->Write(AllOf(Torque(0.02)));
  world_.wire(0).max_write_bytes = 1000;
  bus_->Write(AllOf(Torque(0.03)));
  world_.Advance(absl::Milliseconds(1));
  EXPECT_THAT(world_.torques_nm, Each(::testing::DoubleNear(0.03, 1e-9)));
}

TEST_P(B3mBusTest, AFullStreamIsIncomplete) {
  Configure();
  world_.wire(0).max_write_bytes = 0;
  EXPECT_EQ(bus_->Write(AllOf(Torque(0.02))).code, BusResult::Code::kIncomplete);
}

// A wire whose servos answer each read with zeros and a motor error, from memory of fixed size.
class ZeroServos final : public ByteStream, public Clock {
 public:
  absl::Duration Now() const override { return now_; }
  IoResult Write(std::span<const uint8_t> bytes) override {
    now_ += absl::Microseconds(7) * static_cast<double>(bytes.size());
    parser_.Push(bytes);
    while (const std::optional<b3m::Packet> packet = parser_.Next()) {
      if (packet->command == static_cast<uint8_t>(b3m::Command::kRead)) {
        reply_bytes_ = b3m::EncodeReply(b3m::Command::kRead, b3m::kMotorError, packet->id(),
                                        std::span(zeros_).first(packet->data()[1]), reply_);
      }
    }
    return {.num_bytes = bytes.size()};
  }
  IoResult Read(std::span<uint8_t> bytes, absl::Duration deadline) override {
    if (reply_bytes_ == 0 || deadline < now_) {
      now_ = std::max(now_, deadline);
      return {.code = IoResult::Code::kTimedOut};
    }
    now_ += absl::Microseconds(400);
    std::copy_n(reply_.begin(), reply_bytes_, bytes.begin());
    return {.num_bytes = std::exchange(reply_bytes_, 0)};
  }
  void DiscardInput() override {}

 private:
  absl::Duration now_ = absl::Seconds(1);
  b3m::Parser parser_;
  std::array<uint8_t, 64> zeros_ = {};
  std::array<uint8_t, 64> reply_;
  size_t reply_bytes_ = 0;
};

TEST(B3mAllocationTest, NeitherReadNorWriteAllocates) {
  if (!CountsAllocations()) {
    GTEST_SKIP() << "a sanitizer brings its own allocator";
  }
  auto servos = std::make_unique<ZeroServos>();
  const ZeroServos& clock = *servos;
  std::vector<std::unique_ptr<ByteStream>> streams;
  streams.push_back(std::move(servos));
  B3mOptions options;
  for (uint8_t id = 0; id < kJoints; ++id) {
    options.servos.push_back({0, id});
  }
  ASSERT_OK_AND_ASSIGN(std::unique_ptr<B3mBus> bus, B3mBus::Create(options, std::move(streams), &clock));
  std::vector<JointMeasurement> measurements(kJoints);
  const std::vector<JointCommand> torques = AllOf(Torque(0.02)), positions = AllOf(Position(0.1));
  const int64_t before = NumAllocations();
  for (const std::vector<JointCommand>* commands : {&torques, &positions}) {
    EXPECT_TRUE(bus->Read(clock.Now() + absl::Milliseconds(8), measurements).ok());
    EXPECT_TRUE(bus->Write(*commands).ok());
  }
  EXPECT_EQ(NumAllocations() - before, 0);
  EXPECT_NE(measurements[0].fault, 0);
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
