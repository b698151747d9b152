#include "common/robot/drivers/moteus/moteus_bus.h"

#include <cmath>
#include <limits>
#include <numbers>
#include <optional>

#include "common/base/clock.h"
#include "common/robot/drivers/moteus/fdcanusb_port.h"
#include "common/robot/drivers/moteus/moteus_emulator.h"
#include "common/robot/drivers/moteus/moteus_faults.h"
#include "gmock/gmock.h"
#include "tests/testing/counting_allocator.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/robot/moteus/emulated_stream.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::DoubleNear;
using ::testing::Each;
using ::testing::Field;
using ::testing::HasSubstr;

constexpr double kRadPerRev = 2 * std::numbers::pi;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct RigOptions {
  bool checksums = false;
  bool reply_before_ok = false;
  EmulatedMoteusOptions second = {.id = 2, .joint = 1};
};

// Two controllers on one adapter, stepped by the test.
class Rig {
 public:
  explicit Rig(const RigOptions& options = {})
      : emulator({.controllers = {{.id = 1, .joint = 0}, options.second},
                  .reply_before_ok = options.reply_before_ok}) {
    auto owned = std::make_unique<EmulatedStream>(&emulator);
    stream = owned.get();
    auto port =
        std::make_unique<FdcanusbPort>(FdcanusbOptions{.checksums = options.checksums}, std::move(owned));
    absl::StatusOr<std::unique_ptr<MoteusBus>> created = MoteusBus::Create(
        {.actuators = {{.id = 1}, {.id = 2}}, .reply_timeout = absl::Milliseconds(2)}, std::move(port));
    EXPECT_OK(created);
    bus = *std::move(created);
    Step(absl::Milliseconds(1));
  }

  void Step(absl::Duration duration) {
    std::vector<double> torques(2, 0.0);
    std::vector<uint8_t> output;
    for (const absl::Duration end = stream->now + duration; stream->now < end;) {
      stream->now += absl::Microseconds(500);
      emulator.Step(stream->now, plant, torques, output);
      plant.Advance(absl::Microseconds(500), torques);
    }
    torques_nm = torques;
  }

  BusResult Read() { return bus->Read(RealClock::Get().Now() + absl::Milliseconds(50), measured); }

  BusResult Write(const JointCommand& command) {
    const std::array<JointCommand, 2> commands = {command, command};
    return bus->Write(commands);
  }

  MoteusEmulator emulator;
  FreeBodies plant{2};
  EmulatedStream* stream = nullptr;
  std::unique_ptr<MoteusBus> bus;
  std::array<JointMeasurement, 2> measured;
  std::vector<double> torques_nm;
};

constexpr JointCommand kHalfNewtonMetre = {.mode = ActuatorMode::kTorque, .torque_nm = 0.5};

// A port whose test answers every frame by hand.
class HandPort final : public CanPort {
 public:
  using Answer = std::function<std::optional<CanFrame>(const CanFrame&)>;
  explicit HandPort(Answer answer) : answer_(std::move(answer)) {}

  IoResult Send(const CanFrame& frame) override {
    next_ = answer_(frame);
    return {};
  }
  IoResult Receive(CanFrame& frame, absl::Duration /*deadline*/) override {
    if (!next_.has_value()) {
      return {.code = IoResult::Code::kTimedOut};
    }
    frame = *next_;
    next_.reset();
    return {};
  }
  CanPortCounters counters() const override { return {}; }

 private:
  Answer answer_;
  std::optional<CanFrame> next_;
};

std::unique_ptr<MoteusBus> BusOverHand(HandPort::Answer answer) {
  auto bus = MoteusBus::Create({.actuators = {{.id = 1}}, .reply_timeout = absl::Milliseconds(1)},
                               std::make_unique<HandPort>(std::move(answer)));
  EXPECT_OK(bus);
  return *std::move(bus);
}

CanFrame ReplyTo(const CanFrame& question, std::span<const MoteusValue> values) {
  CanFrame reply{.id = (question.id & 0x7f) << 8 | (question.id >> 8 & 0x7f)};
  EXPECT_TRUE(MoteusFrameWriter(reply).Append(MoteusSubframe::kReply, values));
  return reply;
}

std::array<MoteusValue, 7> ReportOf(double mode, double fault) {
  constexpr auto kFloat = MoteusResolution::kFloat;
  return {{{0, kFloat, mode},
           {1, kFloat, 0},
           {2, kFloat, 0},
           {3, kFloat, 0},
           {13, kFloat, 24},
           {14, kFloat, 20},
           {15, kFloat, fault}}};
}

TEST(MoteusBusTest, IdentifiesEveryController) {
  Rig rig({.second = {.id = 2, .joint = 1, .model = 0x1234, .firmware = 0x010a05}});
  ASSERT_OK_AND_ASSIGN(const std::vector<ActuatorInfo> infos, rig.bus->Identify());
  ASSERT_EQ(infos.size(), 2);
  EXPECT_EQ(infos[1].id, 2);
  EXPECT_EQ(infos[1].model, "moteus 0x1234");
  EXPECT_EQ(infos[1].firmware, "1.10.5");
  EXPECT_TRUE(infos[1].has_watchdog);
}

TEST(MoteusBusTest, NamesTheIdThatDoesNotAnswer) {
  Rig rig({.second = {.id = 3, .joint = 1}});
  EXPECT_THAT(rig.bus->Identify(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("id 2")));
  EXPECT_EQ(rig.Read().code, BusResult::Code::kIncomplete);
  EXPECT_TRUE(rig.measured[0].fresh);
  EXPECT_FALSE(rig.measured[1].fresh);
  EXPECT_EQ(rig.bus->counters().missing_replies, 1);
}

TEST(MoteusBusTest, RefusesARegisterMapThatItDoesNotKnow) {
  Rig rig({.second = {.id = 2, .joint = 1, .firmware = 0x020000, .register_map = 6}});
  EXPECT_THAT(rig.bus->Identify(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                            HasSubstr("id 2 with firmware 2.0.0: register map 6; want 5")));
}

TEST(MoteusBusTest, RefusesFirmwareThatCannotSwitchTheIntegralOff) {
  auto bus = BusOverHand([](const CanFrame& question) {
    CanFrame reply = ReplyTo(question, std::vector<MoteusValue>{{0x100, MoteusResolution::kInt32, 1},
                                                                {0x101, MoteusResolution::kInt32, 0x10000},
                                                                {0x102, MoteusResolution::kInt32, 5}});
    EXPECT_TRUE(MoteusFrameWriter(reply).AppendError(MoteusSubframe::kReadError, 0x02b, 1));
    return reply;
  });
  EXPECT_THAT(bus->Identify(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("0x02b")));
}

TEST(MoteusBusTest, RefusesIdsThatCannotBe) {
  for (const int id : {0, -1, 64, 95, 127, 128}) {
    EXPECT_THAT(MoteusBus::Create({.actuators = {{.id = id}}}, nullptr),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("want 1 to 63 or 96 to 126")));
  }
  EXPECT_THAT(MoteusBus::Create({.actuators = {{.id = 5}, {.id = 5}}}, nullptr),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("two joints")));
  EXPECT_THAT(MoteusBus::Create({.actuators = {{.id = 5, .position_kp_nm_rev = 0}}}, nullptr),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("want both > 0")));
  EXPECT_THAT(MoteusBus::Create({}, nullptr), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("ids")));
}

TEST(MoteusBusTest, ReadsInRadians) {
  Rig rig;
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
  Rig rig;
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
  Rig rig;
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
  Rig rig;
  rig.plant.Set(0, 0, 4);
  rig.plant.Set(1, 0, 4);
  ASSERT_TRUE(rig.Write({.mode = ActuatorMode::kDamping, .damping_nm_s_rad = 0.3}).ok());
  rig.Step(absl::Microseconds(500));
  EXPECT_THAT(rig.torques_nm, Each(DoubleNear(-1.2, 1e-5)));
  EXPECT_EQ(rig.emulator.controller(0).mode(), moteus_mode::kZeroVelocity);
}

TEST(MoteusBusTest, FreeTakesTheMotorOff) {
  Rig rig;
  ASSERT_TRUE(rig.Write(kHalfNewtonMetre).ok());
  ASSERT_TRUE(rig.Write({.mode = ActuatorMode::kFree}).ok());
  rig.Step(absl::Microseconds(500));
  EXPECT_THAT(rig.torques_nm, Each(0));
  EXPECT_EQ(rig.emulator.controller(0).mode(), moteus_mode::kStopped);
}

TEST(MoteusBusTest, AMotorThatWasTakenOffHasNotRestarted) {
  Rig rig;
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(rig.Write(kHalfNewtonMetre).ok());
    ASSERT_TRUE(rig.Read().ok());
    ASSERT_TRUE(rig.Write({.mode = ActuatorMode::kFree}).ok());
    ASSERT_TRUE(rig.Read().ok());
    EXPECT_THAT(rig.measured, Each(Field(&JointMeasurement::fault, 0)));
  }
}

TEST(MoteusBusTest, SendsNothingThatIsNotFinite) {
  Rig rig;
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

TEST(MoteusBusTest, ConfigureTakesMotorsOffAndSetsTheWatchdog) {
  Rig rig;
  ASSERT_TRUE(rig.Write(kHalfNewtonMetre).ok());
  ASSERT_OK(rig.bus->Configure(absl::Milliseconds(20)));
  EXPECT_EQ(rig.emulator.controller(0).mode(), moteus_mode::kStopped);
  ASSERT_TRUE(rig.Write(kHalfNewtonMetre).ok());
  rig.Step(absl::Milliseconds(19));
  EXPECT_EQ(rig.emulator.controller(0).mode(), moteus_mode::kPosition);
  rig.Step(absl::Milliseconds(2));
  EXPECT_EQ(rig.emulator.controller(0).mode(), moteus_mode::kTimeout);
  EXPECT_THAT(rig.bus->Configure(absl::ZeroDuration()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("1ms")));
  EXPECT_THAT(rig.bus->Configure(absl::InfiniteDuration()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("32s")));
}

TEST(MoteusBusTest, ATimeoutIsLatchedUntilFaultsAreCleared) {
  Rig rig;
  ASSERT_OK(rig.bus->Configure(absl::Milliseconds(20)));
  ASSERT_TRUE(rig.Write(kHalfNewtonMetre).ok());
  rig.Step(absl::Milliseconds(25));
  ASSERT_TRUE(rig.Read().ok());
  EXPECT_EQ(rig.measured[0].fault, kMoteusTimeoutFault);
  EXPECT_THAT(rig.bus->DescribeFault(rig.measured[0].fault), HasSubstr("watchdog"));

  // Neither commands, nor a stop that clears the device, nor setting up again bring it back.
  EXPECT_EQ(rig.Write(kHalfNewtonMetre).code, BusResult::Code::kIncomplete);
  EXPECT_TRUE(rig.Write({.mode = ActuatorMode::kFree}).ok());
  EXPECT_EQ(rig.emulator.controller(0).mode(), moteus_mode::kStopped);
  ASSERT_OK(rig.bus->Configure(absl::Milliseconds(20)));
  EXPECT_EQ(rig.Write(kHalfNewtonMetre).code, BusResult::Code::kIncomplete);
  EXPECT_EQ(rig.emulator.controller(0).mode(), moteus_mode::kStopped);
  ASSERT_TRUE(rig.Read().ok());
  EXPECT_EQ(rig.measured[0].fault, kMoteusTimeoutFault);

  ASSERT_OK(rig.bus->ClearFaults());
  EXPECT_TRUE(rig.Write(kHalfNewtonMetre).ok());
  ASSERT_TRUE(rig.Read().ok());
  EXPECT_EQ(rig.measured[0].fault, 0);
  EXPECT_EQ(rig.emulator.controller(0).mode(), moteus_mode::kPosition);
}

TEST(MoteusBusTest, ConfigureLeavesALatchedDeviceAsItIs) {
  Rig rig;
  rig.emulator.controller(1).SetFault(34);
  ASSERT_OK(rig.bus->Configure(absl::Milliseconds(20)));
  EXPECT_EQ(rig.emulator.controller(1).mode(), moteus_mode::kFault);
  ASSERT_TRUE(rig.Read().ok());
  EXPECT_EQ(rig.measured[1].fault, 34);
}

TEST(MoteusBusTest, FaultsHaveNamesAndAreLatched) {
  Rig rig;
  ASSERT_TRUE(rig.Write(kHalfNewtonMetre).ok());
  rig.emulator.controller(0).SetFault(40);
  rig.Step(absl::Milliseconds(1));
  ASSERT_TRUE(rig.Read().ok());
  EXPECT_EQ(rig.measured[0].fault, 40);
  EXPECT_EQ(rig.measured[1].fault, 0);
  EXPECT_EQ(rig.bus->DescribeFault(40), "under-voltage");
  EXPECT_EQ(rig.torques_nm[0], 0);
  // One joint's fault keeps nothing from the other.
  EXPECT_EQ(rig.Write(kHalfNewtonMetre).code, BusResult::Code::kIncomplete);
  rig.Step(absl::Milliseconds(1));
  EXPECT_NEAR(rig.torques_nm[1], 0.5, 1e-6);
}

TEST(MoteusBusTest, ARestartedControllerIsAFault) {
  Rig rig;
  ASSERT_TRUE(rig.Write(kHalfNewtonMetre).ok());
  ASSERT_TRUE(rig.Read().ok());
  EXPECT_EQ(rig.measured[0].fault, 0);
  rig.emulator.controller(0).Restart();
  ASSERT_TRUE(rig.Read().ok());
  EXPECT_EQ(rig.measured[0].fault, kMoteusRestartFault);
  EXPECT_EQ(rig.measured[1].fault, 0);
}

TEST(MoteusBusTest, WhatOnlyLimitsPowerIsNoFault) {
  for (const auto& [mode, code, fault] : std::vector<std::tuple<int, int, uint32_t>>{
           {10, 102, 0}, {10, 0, 0}, {1, 38, 38}, {1, 0, kMoteusUnknownFault}}) {
    auto bus = BusOverHand([mode = mode, code = code](const CanFrame& question) {
      return ReplyTo(question, ReportOf(mode, code));
    });
    JointMeasurement measured;
    EXPECT_TRUE(bus->Read(absl::ZeroDuration(), {&measured, 1}).ok());
    EXPECT_EQ(measured.fault, fault) << mode << " " << code;
  }
}

TEST(MoteusBusTest, ClearFaultsSaysWhatKeepsAFaultUp) {
  auto bus = BusOverHand([](const CanFrame& question) { return ReplyTo(question, ReportOf(1, 38)); });
  EXPECT_THAT(bus->ClearFaults(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("over-temperature")));
}

TEST(MoteusBusTest, AnswersWithNumbersThatCannotBeAreNoMeasurement) {
  for (const double mode : {kNan, kInfinity, 1e30, -3.0}) {
    auto bus =
        BusOverHand([mode](const CanFrame& question) { return ReplyTo(question, ReportOf(mode, kNan)); });
    JointMeasurement measured;
    bus->Read(absl::ZeroDuration(), {&measured, 1});
    EXPECT_THAT(bus->Identify().status(), ::testing::Not(demorl::testing::IsOk()));
  }
  auto short_of_registers = BusOverHand([](const CanFrame& question) {
    const std::array<MoteusValue, 7> report = ReportOf(10, 0);
    return ReplyTo(question, std::span(report).first(3));
  });
  JointMeasurement measured;
  EXPECT_EQ(short_of_registers->Read(absl::ZeroDuration(), {&measured, 1}).code,
            BusResult::Code::kIncomplete);
  EXPECT_EQ(short_of_registers->counters().bad_messages, 1);
}

TEST(MoteusBusTest, LateRepliesAreCountedAndNeverTakenAsNew) {
  Rig rig;
  rig.plant.Set(0, 1, 0);
  rig.Step(absl::Microseconds(500));
  rig.stream->faults.reply_delay = absl::Milliseconds(3);
  EXPECT_EQ(rig.Read().code, BusResult::Code::kIncomplete);
  EXPECT_FALSE(rig.measured[0].fresh);
  rig.plant.Set(0, 2, 0);
  rig.Step(absl::Milliseconds(4));
  // What the first question asked for arrives while the second waits.
  EXPECT_EQ(rig.Read().code, BusResult::Code::kIncomplete);
  EXPECT_FALSE(rig.measured[0].fresh);
  EXPECT_EQ(rig.bus->counters().late_or_duplicate_replies, 2);
  EXPECT_EQ(rig.bus->counters().missing_replies, 4);
  rig.stream->faults.reply_delay = absl::ZeroDuration();
  rig.Step(absl::Milliseconds(4));
  EXPECT_TRUE(rig.Read().ok());
  EXPECT_NEAR(rig.measured[0].position_rad, 2, 1e-6);
}

TEST(MoteusBusTest, DuplicateRepliesAreCountedOnce) {
  Rig rig;
  rig.stream->faults.duplicate_replies = true;
  ASSERT_TRUE(rig.Read().ok());
  EXPECT_THAT(rig.measured, Each(Field(&JointMeasurement::fresh, true)));
  rig.stream->faults.duplicate_replies = false;
  ASSERT_TRUE(rig.Read().ok());
  EXPECT_EQ(rig.bus->counters().late_or_duplicate_replies, 2);
  EXPECT_EQ(rig.bus->counters().missing_replies, 0);
}

TEST(MoteusBusTest, RepliesOfStrangersAreBadMessages) {
  Rig rig;
  rig.stream->Inject("rcv 941 2100000\nrcv 941 21000a\nrcv 18141 21000a E\nrcv 100 21000a\n");
  ASSERT_TRUE(rig.Read().ok());
  EXPECT_EQ(rig.bus->counters().bad_messages, 4);
}

TEST(MoteusBusTest, AStuckBusIsSeenAndLeft) {
  Rig rig;
  ASSERT_TRUE(rig.Read().ok());
  const absl::Duration time = rig.measured[0].time;
  rig.stream->faults.stuck = true;
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(rig.Read().code, BusResult::Code::kIncomplete);
  }
  EXPECT_FALSE(rig.measured[0].fresh);
  EXPECT_EQ(rig.measured[0].time, time);
  EXPECT_EQ(rig.bus->counters().missing_replies, 20);
  rig.stream->faults.stuck = false;
  EXPECT_TRUE(rig.Read().ok());
}

TEST(MoteusBusTest, AnUnpluggedBusIsClosed) {
  Rig rig;
  rig.stream->faults.unplugged = true;
  EXPECT_EQ(rig.Read().code, BusResult::Code::kClosed);
  EXPECT_EQ(rig.Write(kHalfNewtonMetre).code, BusResult::Code::kClosed);
  EXPECT_THAT(rig.bus->Identify(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("unplugged")));
  EXPECT_THAT(rig.bus->ClearFaults(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("unplugged")));
}

TEST(MoteusBusTest, ABabblingDeviceHoldsNothingUp) {
  Rig rig;
  rig.stream->faults.babble_bytes = 100;
  for (int i = 0; i < 200; ++i) {
    rig.bus->Read(RealClock::Get().Now() + absl::Milliseconds(1), rig.measured);
  }
  EXPECT_GT(rig.bus->counters().skipped_bytes, 1000);
  rig.stream->faults.stuck = true;
  EXPECT_EQ(rig.bus->Read(RealClock::Get().Now() + absl::Milliseconds(1), rig.measured).code,
            BusResult::Code::kIncomplete);
  EXPECT_EQ(rig.bus->Identify().status().code(), absl::StatusCode::kNotFound);
  rig.stream->faults.stuck = false;
  rig.stream->faults.babble_bytes = 0;
  rig.Read();
  EXPECT_TRUE(rig.Read().ok());
}

TEST(MoteusBusTest, WithChecksumsCorruptedLinesAreNeverMeasurements) {
  Rig rig({.checksums = true});
  rig.plant.Set(0, 1, 0);
  rig.plant.Set(1, 1, 0);
  rig.Step(absl::Microseconds(500));
  rig.stream->faults.corrupted_share = 0.5;
  for (int i = 0; i < 2000; ++i) {
    rig.Read();
    for (const JointMeasurement& measured : rig.measured) {
      if (measured.fresh) {
        ASSERT_NEAR(measured.position_rad, 1, 1e-6);
      }
    }
  }
  EXPECT_GT(rig.bus->counters().bad_messages, 100);
  EXPECT_GT(rig.bus->counters().missing_replies, 100);
}

TEST(MoteusBusTest, WithChecksumsALineWithoutOneIsRefused) {
  for (const bool checksums : {false, true}) {
    Rig rig({.checksums = checksums});
    ASSERT_TRUE(rig.Read().ok());
    // Else the answer of controller 1 to the second round, at two revolutions.
    rig.stream->Inject("rcv 142 21000a2f01000000400000000000000000230d301e00\n");
    ASSERT_TRUE(rig.Read().ok());
    EXPECT_EQ(rig.bus->counters().bad_messages, checksums ? 1 : 0);
    EXPECT_NEAR(rig.measured[0].position_rad, checksums ? 0 : 2 * kRadPerRev, 1e-6);
  }
}

TEST(MoteusBusTest, AnAdaptersErrorsAreCounted) {
  Rig rig;
  rig.stream->Inject("ERR unknown command\n");
  ASSERT_TRUE(rig.Read().ok());
  EXPECT_EQ(rig.bus->counters().device_errors, 1);
}

TEST(MoteusBusTest, TakesRepliesInAnyPiecesAndEitherOrder) {
  for (const bool reply_before_ok : {false, true}) {
    for (size_t piece = 1; piece < 120; ++piece) {
      Rig rig({.checksums = piece % 2 == 0, .reply_before_ok = reply_before_ok});
      rig.stream->max_read = piece;
      rig.stream->max_write = piece;
      rig.plant.Set(1, -2, 0.5);
      rig.Step(absl::Microseconds(500));
      ASSERT_OK(rig.bus->Identify());
      ASSERT_TRUE(rig.Write(kHalfNewtonMetre).ok());
      ASSERT_TRUE(rig.Read().ok()) << piece;
      EXPECT_NEAR(rig.measured[1].position_rad, -2, 1e-6);
      EXPECT_EQ(rig.emulator.controller(1).mode(), moteus_mode::kPosition);
      EXPECT_EQ(rig.bus->counters().bad_messages, 0);
    }
  }
}

TEST(MoteusBusTest, AFullWayDropsWholeFramesOnly) {
  Rig rig;
  rig.stream->max_write = 0;
  EXPECT_EQ(rig.Write(kHalfNewtonMetre).code, BusResult::Code::kIncomplete);
  EXPECT_EQ(rig.Read().code, BusResult::Code::kIncomplete);
  rig.stream->max_write = 1000;
  ASSERT_TRUE(rig.Read().ok());
  EXPECT_EQ(rig.emulator.controller(0).mode(), moteus_mode::kStopped);
  EXPECT_EQ(rig.bus->counters().device_errors, 0);
}

TEST(MoteusBusTest, ALineThatWentOutInPartIsFinishedBeforeTheNext) {
  for (size_t budget = 1; budget < 120; ++budget) {
    Rig rig;
    rig.stream->write_budget = budget;
    rig.Write(kHalfNewtonMetre);
    rig.Write({.mode = ActuatorMode::kDamping});  // finds the way full
    rig.stream->write_budget = std::numeric_limits<size_t>::max();
    ASSERT_TRUE(rig.Read().ok()) << budget;
    EXPECT_EQ(rig.bus->counters().device_errors, 0) << budget;
    EXPECT_EQ(rig.emulator.controller(0).mode(), moteus_mode::kPosition) << budget;
  }
}

TEST(MoteusBusTest, ReadsAndWritesWithoutAllocating) {
  if (!CountsAllocations()) {
    GTEST_SKIP() << "this build has an allocator of its own";
  }
  for (const bool checksums : {false, true}) {
    Rig rig({.checksums = checksums});
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
