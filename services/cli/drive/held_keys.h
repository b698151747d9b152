#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace demorl {

// Axes steered by the keys of a terminal, two keys an axis. A terminal tells no release, only that a held key
// repeats: a key counts as held from its press until repetition may begin, then until it stays away. So a tap
// acts for as long as a terminal waits before it repeats, and of two keys held at once only the later
// repeats.
//
// Keys: arrows or w s, a d for the first two axes, r f, t g, y h, u j for further ones; the first of each
// pair is positive (up and left). + and - change how far a key goes, the space bar lets go of all, q quits.
class HeldKeys {
 public:
  static constexpr absl::Duration kFirstPress = absl::Milliseconds(600);
  static constexpr absl::Duration kRepetition = absl::Milliseconds(200);
  static constexpr int kMaxAxes = 6;

  // Axes beyond kMaxAxes have no keys.
  explicit HeldKeys(int num_axes);

  // What the terminal has sent, in any pieces, as of `now`.
  void Feed(absl::string_view bytes, absl::Duration now);

  // Whether a key is held.
  bool held(absl::Duration now) const;
  // In [-1, 1].
  std::vector<double> axes(absl::Duration now) const;
  // Of the way that a key goes.
  double share() const { return share_; }
  bool quits() const { return quits_; }

 private:
  struct Axis {
    int direction = 0;
    absl::Duration held_until;
  };

  void Press(char key, absl::Duration now);
  void Hold(size_t axis, int direction, absl::Duration now);

  std::vector<Axis> axes_;
  // Of an arrow's three bytes.
  std::string escape_;
  double share_ = 0.5;
  bool quits_ = false;
};

// "w/s forward, a/d turn, ...", for the axes of these names.
std::string KeyLegend(const std::vector<std::string>& axis_names);

}  // namespace demorl
