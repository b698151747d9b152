#include "services/cli/drive/held_keys.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace demorl {
namespace {

constexpr char kEscape = '\x1b';
constexpr double kShareStep = 0.1;
// By axis: positive, negative.
constexpr absl::string_view kKeys[HeldKeys::kMaxAxes] = {"ws", "ad", "rf", "tg", "yh", "uj"};

// The letter that an arrow (ESC [ A to D, or ESC O A to D) stands for, or 0.
char LetterOfArrow(char arrow) {
  constexpr absl::string_view kLetters = "wsda";  // up, down, right, left
  return arrow >= 'A' && arrow <= 'D' ? kLetters[arrow - 'A'] : '\0';
}

}  // namespace

HeldKeys::HeldKeys(int num_axes) : axes_(num_axes) {}

void HeldKeys::Feed(absl::string_view bytes, absl::Duration now) {
  for (const char byte : bytes) {
    if (byte == kEscape) {
      escape_ = byte;
    } else if (escape_.empty()) {
      Press(byte, now);
    } else if (escape_.size() == 1 && (byte == '[' || byte == 'O')) {
      escape_ += byte;
    } else {
      // Of any other sequence of the terminal its last byte is no key either.
      const bool is_arrow = escape_.size() == 2;
      escape_.clear();
      Press(is_arrow ? LetterOfArrow(byte) : '\0', now);
    }
  }
}

void HeldKeys::Press(char key, absl::Duration now) {
  if (key == 'q') {
    quits_ = true;
  } else if (key == ' ') {
    std::fill(axes_.begin(), axes_.end(), Axis());
  } else if (key == '+' || key == '-') {
    share_ = std::clamp(share_ + (key == '+' ? kShareStep : -kShareStep), kShareStep, 1.0);
  }
  for (size_t axis = 0; axis < std::min<size_t>(axes_.size(), kMaxAxes); ++axis) {
    if (key == kKeys[axis][0] || key == kKeys[axis][1]) {
      Hold(axis, key == kKeys[axis][0] ? 1 : -1, now);
    }
  }
}

void HeldKeys::Hold(size_t index, int direction, absl::Duration now) {
  Axis& axis = axes_[index];
  const bool repeats = axis.direction == direction && now < axis.held_until;
  axis = {.direction = direction, .held_until = now + (repeats ? kRepetition : kFirstPress)};
}

bool HeldKeys::held(absl::Duration now) const {
  return std::any_of(axes_.begin(), axes_.end(),
                     [now](const Axis& axis) { return axis.direction != 0 && now < axis.held_until; });
}

std::vector<double> HeldKeys::axes(absl::Duration now) const {
  std::vector<double> values;
  for (const Axis& axis : axes_) {
    values.push_back(now < axis.held_until ? share_ * axis.direction : 0);
  }
  return values;
}

std::string KeyLegend(const std::vector<std::string>& axis_names) {
  std::string legend;
  for (size_t i = 0; i < std::min<size_t>(axis_names.size(), HeldKeys::kMaxAxes); ++i) {
    absl::StrAppend(&legend, std::string(1, kKeys[i][0]), "/", std::string(1, kKeys[i][1]), " ",
                    axis_names[i], ", ");
  }
  return absl::StrCat(legend, "+/- how far, space lets go, q quits");
}

}  // namespace demorl
