#include "services/cli/drive/gamepad_events.h"

#include <linux/joystick.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace demorl {
namespace {

constexpr double kFullDeflection = 32767;
// What a stick that nobody touches may show.
constexpr double kDeadZone = 0.1;

double Deflection(int16_t value) {
  const double share = std::clamp(value / kFullDeflection, -1.0, 1.0);
  const double beyond = std::max(std::abs(share) - kDeadZone, 0.0) / (1 - kDeadZone);
  return std::copysign(beyond, share);
}

}  // namespace

void GamepadEvents::Feed(std::span<const uint8_t> bytes) {
  for (const uint8_t byte : bytes) {
    partial_.push_back(byte);
    if (partial_.size() == sizeof(js_event)) {
      Take(partial_);
      partial_.clear();
    }
  }
}

void GamepadEvents::Take(std::span<const uint8_t> bytes) {
  js_event event;
  std::memcpy(&event, bytes.data(), sizeof(event));
  const bool is_initial = (event.type & JS_EVENT_INIT) != 0;
  const int type = event.type & ~JS_EVENT_INIT;
  if (type == JS_EVENT_AXIS) {
    sticks_[event.number] = event.value;
  } else if (type == JS_EVENT_BUTTON && event.number == layout_.dead_man_button) {
    held_ = event.value != 0 && !is_initial;
  }
}

std::vector<double> GamepadEvents::axes(int num_axes) const {
  std::vector<double> values(num_axes, 0.0);
  for (size_t i = 0; i < std::min(values.size(), layout_.sticks.size()); ++i) {
    const auto stick = sticks_.find(layout_.sticks[i]);
    values[i] = stick == sticks_.end() ? 0 : 0 - Deflection(stick->second);
  }
  return values;
}

}  // namespace demorl
