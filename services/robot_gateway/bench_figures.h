#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/robot/realtime/realtime_thread.h"

namespace demorl {

// Smallest value that at least `share` of the values do not exceed; 0 of none.
double Quantile(std::vector<double> values, double share);
double Mean(const std::vector<double>& values);

// What the loop and cyclictest have seen in one window. Microseconds.
struct WindowSamples {
  // Rounded down to whole microseconds, as cyclictest does.
  std::vector<double> wake_up_us;
  std::vector<double> compute_us;
  std::vector<double> cyclictest_us;
  // Times at which the loop missed one tick or more, and the ticks that it missed then.
  double overruns = 0;
  double missed_ticks = 0;
};

// How something was measured, for every line printed about it.
struct FigureContext {
  std::string case_name;
  std::string scheduler;
  int cpu = 0;
  double seconds = 0;  // 0 where calls are counted instead
  // Of the machine, over the minute before the end.
  double load_average = 0;
};

// What the thread that was measured ran under.
std::string SchedulerName(const RealtimeReport& report);

// One figure: its value over all windows, and in each of them.
struct Figure {
  std::string name;
  std::string unit;
  double value = 0;
  std::vector<double> runs;
  // What cyclictest has measured of the same, which is the limit that the machine sets.
  std::optional<double> limit;
  // What the value is to stay at or below.
  std::optional<double> bar;
};

// Prints one JSON line.
void PrintFigure(const Figure& figure, const FigureContext& context);

// The figures of a case, from its windows. Of cyclictest a wake-up that is late by a period or more counts as
// an overrun; of the loop so does a tick that is stalled after a timely wake-up, so late wake-ups alone are a
// figure too.
std::vector<Figure> CaseFigures(const std::vector<WindowSamples>& windows, double period_us);

}  // namespace demorl
