#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "absl/time/time.h"
#include "services/cli/run/run_folder.h"

namespace demorl {

// Shows how a run gets on: one live line on a terminal, a plain line now and then otherwise.
// Thread-compatible.
class ProgressDisplay {
 public:
  // `waiting_for` in Update says what a run without progress waits for.
  explicit ProgressDisplay(int64_t total_environment_steps);

  void Update(const ProgressRow& row, const std::string& waiting_for);

  // Prints a line of its own, above the live line.
  void Note(const std::string& text);

 private:
  std::string Format(const ProgressRow& row, const std::string& waiting_for) const;

  int64_t total_environment_steps_;
  bool terminal_;
  // Steps and seconds of the last minutes, for the time left: early steps may be much faster than later ones.
  struct Mark {
    int64_t environment_steps = 0;
    double wall_s = 0;
  };
  std::deque<Mark> marks_;
  absl::Time last_print_ = absl::InfinitePast();
};

// "1,234,567".
std::string WithThousands(int64_t value);

// "1:02:03" or "2:03".
std::string FormatDuration(double seconds);

}  // namespace demorl
