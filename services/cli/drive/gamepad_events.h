#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace demorl {

// Which of a gamepad's controls are used, by the numbers that Linux's joystick API gives them (jstest shows
// them).
struct GamepadLayout {
  // By axis of the robot. Of common pads: left stick up, right stick left, left stick left.
  std::vector<int> sticks = {1, 3, 0};
  // Must be held for anything to happen. Of common pads: the right shoulder.
  int dead_man_button = 5;
};

// A gamepad as the joystick API tells of it: 8 bytes an event (js_event of linux/joystick.h). Of one thread.
class GamepadEvents {
 public:
  explicit GamepadEvents(GamepadLayout layout) : layout_(std::move(layout)) {}

  // In any pieces.
  void Feed(std::span<const uint8_t> bytes);

  // Whether the dead-man's button was pressed and is held since. One that was held when the device was opened
  // does not count.
  bool held() const { return held_; }
  // By axis of the robot, in [-1, 1]: a stick's up and left are positive, its rest is exactly 0. Axes without
  // a stick stay 0.
  std::vector<double> axes(int num_axes) const;

 private:
  void Take(std::span<const uint8_t> event);

  const GamepadLayout layout_;
  std::vector<uint8_t> partial_;
  // By number, as the device tells them: down and right are positive.
  std::map<int, int16_t> sticks_;
  bool held_ = false;
};

}  // namespace demorl
