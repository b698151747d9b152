// A moteus bus on a bad wire: answers that are late, doubled, foreign, damaged or cut.

#include <array>
#include <limits>
#include <numbers>

#include "common/robot/drivers/moteus/moteus_bus.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"
#include "tests/unit/robot/moteus/moteus_rig.h"

namespace demorl {
namespace {

using ::demorl::testing::BusOverHand;
using ::demorl::testing::kHalfNewtonMetre;
using ::demorl::testing::MoteusRig;
using ::demorl::testing::ReplyTo;
using ::demorl::testing::ReportOf;
using ::demorl::testing::StatusIs;
using ::testing::Each;
using ::testing::Field;
using ::testing::HasSubstr;

constexpr double kRadPerRev = 2 * std::numbers::pi;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(MoteusBadWireTest, AnswersWithNumbersThatCannotBeAreNoMeasurement) {
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

TEST(MoteusBadWireTest, LateRepliesAreCountedAndNeverTakenAsNew) {
  MoteusRig rig;
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

TEST(MoteusBadWireTest, DuplicateRepliesAreCountedOnce) {
  MoteusRig rig;
  rig.stream->faults.duplicate_replies = true;
  ASSERT_TRUE(rig.Read().ok());
  EXPECT_THAT(rig.measured, Each(Field(&JointMeasurement::fresh, true)));
  rig.stream->faults.duplicate_replies = false;
  ASSERT_TRUE(rig.Read().ok());
  EXPECT_EQ(rig.bus->counters().late_or_duplicate_replies, 2);
  EXPECT_EQ(rig.bus->counters().missing_replies, 0);
}

TEST(MoteusBadWireTest, RepliesOfStrangersAreBadMessages) {
  MoteusRig rig;
  rig.stream->Inject("rcv 941 2100000\nrcv 941 21000a\nrcv 18141 21000a E\nrcv 100 21000a\n");
  ASSERT_TRUE(rig.Read().ok());
  EXPECT_EQ(rig.bus->counters().bad_messages, 4);
}

TEST(MoteusBadWireTest, AStuckBusIsSeenAndLeft) {
  MoteusRig rig;
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

TEST(MoteusBadWireTest, AnUnpluggedBusIsClosed) {
  MoteusRig rig;
  rig.stream->faults.unplugged = true;
  EXPECT_EQ(rig.Read().code, BusResult::Code::kClosed);
  EXPECT_EQ(rig.Write(kHalfNewtonMetre).code, BusResult::Code::kClosed);
  EXPECT_THAT(rig.bus->Identify(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("unplugged")));
  EXPECT_THAT(rig.bus->ClearFaults(), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("unplugged")));
}

TEST(MoteusBadWireTest, ABabblingDeviceHoldsNothingUp) {
  MoteusRig rig;
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

TEST(MoteusBadWireTest, WithChecksumsCorruptedLinesAreNeverMeasurements) {
  MoteusRig rig({.checksums = true});
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

TEST(MoteusBadWireTest, WithChecksumsALineWithoutOneIsRefused) {
  for (const bool checksums : {false, true}) {
    MoteusRig rig({.checksums = checksums});
    ASSERT_TRUE(rig.Read().ok());
    // Else the answer of controller 1 to the second round, at two revolutions.
    rig.stream->Inject("rcv 142 21000a2f01000000400000000000000000230d301e00\n");
    ASSERT_TRUE(rig.Read().ok());
    EXPECT_EQ(rig.bus->counters().bad_messages, checksums ? 1 : 0);
    EXPECT_NEAR(rig.measured[0].position_rad, checksums ? 0 : 2 * kRadPerRev, 1e-6);
  }
}

TEST(MoteusBadWireTest, AnAdaptersErrorsAreCounted) {
  MoteusRig rig;
  rig.stream->Inject("ERR unknown command\n");
  ASSERT_TRUE(rig.Read().ok());
  EXPECT_EQ(rig.bus->counters().device_errors, 1);
}

TEST(MoteusBadWireTest, TakesRepliesInAnyPiecesAndEitherOrder) {
  for (const bool reply_before_ok : {false, true}) {
    for (size_t piece = 1; piece < 120; ++piece) {
      MoteusRig rig({.checksums = piece % 2 == 0, .reply_before_ok = reply_before_ok});
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

TEST(MoteusBadWireTest, AFullWayDropsWholeFramesOnly) {
  MoteusRig rig;
  rig.stream->max_write = 0;
  EXPECT_EQ(rig.Write(kHalfNewtonMetre).code, BusResult::Code::kIncomplete);
  EXPECT_EQ(rig.Read().code, BusResult::Code::kIncomplete);
  rig.stream->max_write = 1000;
  ASSERT_TRUE(rig.Read().ok());
  EXPECT_EQ(rig.emulator.controller(0).mode(), moteus_mode::kStopped);
  EXPECT_EQ(rig.bus->counters().device_errors, 0);
}

TEST(MoteusBadWireTest, ALineThatWentOutInPartIsFinishedBeforeTheNext) {
  for (size_t budget = 1; budget < 120; ++budget) {
    MoteusRig rig;
    rig.stream->write_budget = budget;
    rig.Write(kHalfNewtonMetre);
    rig.Write({.mode = ActuatorMode::kDamping});  // finds the way full
    rig.stream->write_budget = std::numeric_limits<size_t>::max();
    ASSERT_TRUE(rig.Read().ok()) << budget;
    EXPECT_EQ(rig.bus->counters().device_errors, 0) << budget;
    EXPECT_EQ(rig.emulator.controller(0).mode(), moteus_mode::kPosition) << budget;
  }
}

}  // namespace
}  // namespace demorl
