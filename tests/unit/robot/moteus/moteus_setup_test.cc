// What a moteus bus finds out and sets before the loop.

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
using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

TEST(MoteusSetupTest, IdentifiesEveryController) {
  MoteusRig rig({.second = {.id = 2, .joint = 1, .model = 0x1234, .firmware = 0x010a05}});
  ASSERT_OK_AND_ASSIGN(const std::vector<ActuatorInfo> infos, rig.bus->Identify());
  ASSERT_EQ(infos.size(), 2);
  EXPECT_EQ(infos[1].id, 2);
  EXPECT_EQ(infos[1].model, "moteus 0x1234");
  EXPECT_EQ(infos[1].firmware, "1.10.5");
  EXPECT_TRUE(infos[1].has_watchdog);
}

TEST(MoteusSetupTest, NamesTheIdThatDoesNotAnswer) {
  MoteusRig rig({.second = {.id = 3, .joint = 1}});
  EXPECT_THAT(rig.bus->Identify(), StatusIs(absl::StatusCode::kNotFound, HasSubstr("id 2")));
  EXPECT_EQ(rig.Read().code, BusResult::Code::kIncomplete);
  EXPECT_TRUE(rig.measured[0].fresh);
  EXPECT_FALSE(rig.measured[1].fresh);
  EXPECT_EQ(rig.bus->counters().missing_replies, 1);
}

TEST(MoteusSetupTest, RefusesARegisterMapThatItDoesNotKnow) {
  MoteusRig rig({.second = {.id = 2, .joint = 1, .firmware = 0x020000, .register_map = 6}});
  EXPECT_THAT(rig.bus->Identify(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                            HasSubstr("id 2 with firmware 2.0.0: register map 6; want 5")));
}

TEST(MoteusSetupTest, RefusesFirmwareThatCannotSwitchTheIntegralOff) {
  auto bus = BusOverHand([](const CanFrame& question) {
    CanFrame reply = ReplyTo(question, std::vector<MoteusValue>{{0x100, MoteusResolution::kInt32, 1},
                                                                {0x101, MoteusResolution::kInt32, 0x10000},
                                                                {0x102, MoteusResolution::kInt32, 5}});
    EXPECT_TRUE(MoteusFrameWriter(reply).AppendError(MoteusSubframe::kReadError, 0x02b, 1));
    return reply;
  });
  EXPECT_THAT(bus->Identify(), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("0x02b")));
}

TEST(MoteusSetupTest, RefusesIdsThatCannotBe) {
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

TEST(MoteusSetupTest, ConfigureTakesMotorsOffAndSetsTheWatchdog) {
  MoteusRig rig;
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

}  // namespace
}  // namespace demorl
