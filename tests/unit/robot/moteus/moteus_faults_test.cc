// Which states of a controller are faults, and when they end.

#include "common/robot/drivers/moteus/moteus_faults.h"

#include <vector>

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
using ::testing::HasSubstr;

TEST(MoteusFaultsTest, ATimeoutIsLatchedUntilFaultsAreCleared) {
  MoteusRig rig;
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

TEST(MoteusFaultsTest, ConfigureLeavesALatchedDeviceAsItIs) {
  MoteusRig rig;
  rig.emulator.controller(1).SetFault(34);
  ASSERT_OK(rig.bus->Configure(absl::Milliseconds(20)));
  EXPECT_EQ(rig.emulator.controller(1).mode(), moteus_mode::kFault);
  ASSERT_TRUE(rig.Read().ok());
  EXPECT_EQ(rig.measured[1].fault, 34);
}

TEST(MoteusFaultsTest, FaultsHaveNamesAndAreLatched) {
  MoteusRig rig;
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

TEST(MoteusFaultsTest, ARestartedControllerIsAFault) {
  MoteusRig rig;
  ASSERT_TRUE(rig.Write(kHalfNewtonMetre).ok());
  ASSERT_TRUE(rig.Read().ok());
  EXPECT_EQ(rig.measured[0].fault, 0);
  rig.emulator.controller(0).Restart();
  ASSERT_TRUE(rig.Read().ok());
  EXPECT_EQ(rig.measured[0].fault, kMoteusRestartFault);
  EXPECT_EQ(rig.measured[1].fault, 0);
}

TEST(MoteusFaultsTest, WhatOnlyLimitsPowerIsNoFault) {
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

TEST(MoteusFaultsTest, ClearFaultsSaysWhatKeepsAFaultUp) {
  auto bus = BusOverHand([](const CanFrame& question) { return ReplyTo(question, ReportOf(1, 38)); });
  EXPECT_THAT(bus->ClearFaults(),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("over-temperature")));
}

}  // namespace
}  // namespace demorl
