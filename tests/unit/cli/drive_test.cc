#include <linux/joystick.h>

#include <cstring>

#include "gmock/gmock.h"
#include "services/cli/drive/drive_robot.h"
#include "services/cli/drive/gamepad_events.h"
#include "services/cli/drive/held_keys.h"
#include "services/cli/drive/operator_input.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

using ::demorl::testing::StatusIs;
using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr absl::Duration kStart = absl::Seconds(100);
constexpr absl::Duration kMoment = absl::Milliseconds(30);

TEST(HeldKeysTest, ATappedKeyHoldsUntilRepetitionWouldHaveBegun) {
  HeldKeys keys(2);
  EXPECT_FALSE(keys.held(kStart));
  keys.Feed("w", kStart);
  const absl::Duration end = kStart + HeldKeys::kFirstPress;
  EXPECT_TRUE(keys.held(end - absl::Nanoseconds(1)));
  EXPECT_THAT(keys.axes(end - absl::Nanoseconds(1)), ElementsAre(0.5, 0));
  EXPECT_FALSE(keys.held(end));
  EXPECT_THAT(keys.axes(end), ElementsAre(0, 0));
}

TEST(HeldKeysTest, ARepeatingKeyIsLetGoSoonAfterItsLastRepetition) {
  HeldKeys keys(2);
  keys.Feed("d", kStart);
  const absl::Duration last = kStart + absl::Milliseconds(500);
  keys.Feed("d", last - kMoment);
  keys.Feed("d", last);
  EXPECT_THAT(keys.axes(last + HeldKeys::kRepetition - kMoment), ElementsAre(0, -0.5));
  EXPECT_FALSE(keys.held(last + HeldKeys::kRepetition));
}

TEST(HeldKeysTest, ArrowsAreKeysInAnyPieces) {
  HeldKeys keys(2);
  keys.Feed("\x1b", kStart);
  keys.Feed("[", kStart);
  keys.Feed("A\x1bOD", kStart);
  EXPECT_THAT(keys.axes(kStart), ElementsAre(0.5, 0.5));
  keys.Feed("\x1b[B\x1b[C", kStart);
  EXPECT_THAT(keys.axes(kStart), ElementsAre(-0.5, -0.5));
}

TEST(HeldKeysTest, OtherKeysAndSequencesOfTheTerminalMoveNothing) {
  HeldKeys keys(2);
  keys.Feed("\x1b[Fxyr\x1bq1", kStart);
  EXPECT_FALSE(keys.held(kStart));
  EXPECT_FALSE(keys.quits());
}

TEST(HeldKeysTest, SpaceLetsGoOfAllAndQQuits) {
  HeldKeys keys(3);
  keys.Feed("war", kStart);
  EXPECT_THAT(keys.axes(kStart), ElementsAre(0.5, 0.5, 0.5));
  keys.Feed(" ", kStart);
  EXPECT_FALSE(keys.held(kStart));
  keys.Feed("q", kStart);
  EXPECT_TRUE(keys.quits());
}

TEST(HeldKeysTest, AKeyGoesAsFarAsIsSetButNeverBeyondItsAxis) {
  HeldKeys keys(1);
  keys.Feed("w+", kStart);
  EXPECT_THAT(keys.axes(kStart), ElementsAre(DoubleNear(0.6, 1e-9)));
  keys.Feed("++++++++", kStart);
  EXPECT_THAT(keys.axes(kStart), ElementsAre(1));
  keys.Feed("--------------", kStart);
  EXPECT_THAT(keys.axes(kStart), ElementsAre(DoubleNear(0.1, 1e-9)));
}

std::vector<uint8_t> Event(int type, int number, int value) {
  js_event event{};
  event.type = static_cast<uint8_t>(type);
  event.number = static_cast<uint8_t>(number);
  event.value = static_cast<int16_t>(value);
  std::vector<uint8_t> bytes(sizeof(event));
  std::memcpy(bytes.data(), &event, sizeof(event));
  return bytes;
}

TEST(GamepadEventsTest, SticksSteerInAnyPiecesWithADeadZone) {
  GamepadEvents pad({.sticks = {1, 3}, .dead_man_button = 5});
  for (const uint8_t byte : Event(JS_EVENT_AXIS, 1, -32767)) {
    pad.Feed({&byte, 1});
  }
  pad.Feed(Event(JS_EVENT_AXIS, 3, 18000));
  pad.Feed(Event(JS_EVENT_AXIS, 2, -32767));
  EXPECT_THAT(pad.axes(3), ElementsAre(1, DoubleNear(-0.499, 1e-3), 0));
  pad.Feed(Event(JS_EVENT_AXIS, 3, 3000));
  pad.Feed(Event(JS_EVENT_AXIS, 1, -32768));
  EXPECT_THAT(pad.axes(2), ElementsAre(1, 0));
}

TEST(GamepadEventsTest, OnlyAPressOfTheDeadMansButtonCounts) {
  GamepadEvents pad({.dead_man_button = 5});
  pad.Feed(Event(JS_EVENT_BUTTON | JS_EVENT_INIT, 5, 1));
  EXPECT_FALSE(pad.held());
  pad.Feed(Event(JS_EVENT_BUTTON, 4, 1));
  EXPECT_FALSE(pad.held());
  pad.Feed(Event(JS_EVENT_BUTTON, 5, 1));
  EXPECT_TRUE(pad.held());
  pad.Feed(Event(JS_EVENT_BUTTON, 5, 0));
  EXPECT_FALSE(pad.held());
}

TEST(ActionOfAxesTest, AxesFallOnTheirPlacesAndTheRestIsZero) {
  demorl::gateway::v1::WatchStateResponse robot;
  robot.set_action_dimensions(4);
  for (const uint32_t index : {2u, 0u, 9u}) {
    robot.add_operator_axes()->set_action_index(index);
  }
  EXPECT_THAT(ActionOfAxes(robot, {0.5, -1, 1}), ElementsAre(-1, 0, 0.5, 0));
}

TEST(OperatorInputTest, SaysWhyThereIsNoInput) {
  EXPECT_THAT(GamepadInput::Open("/dev/input/nowhere", {}, 1),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("plugged in")));
  EXPECT_THAT(GamepadInput::Open("/dev/null", {}, 1),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("want one like /dev/input/js0")));
  EXPECT_THAT(KeyboardInput::Open(-1, 1),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no terminal")));
}

}  // namespace
}  // namespace demorl
