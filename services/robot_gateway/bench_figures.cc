#include "services/robot_gateway/bench_figures.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <iterator>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace demorl {
namespace {

using Statistic = std::function<double(const WindowSamples&)>;

WindowSamples Pool(const std::vector<WindowSamples>& windows) {
  WindowSamples all;
  for (const WindowSamples& window : windows) {
    const auto append = [](std::vector<double>& to, const std::vector<double>& from) {
      to.insert(to.end(), from.begin(), from.end());
    };
    append(all.wake_up_us, window.wake_up_us);
    append(all.compute_us, window.compute_us);
    append(all.cyclictest_us, window.cyclictest_us);
    all.overruns += window.overruns;
    all.missed_ticks += window.missed_ticks;
  }
  return all;
}

Figure Describe(const std::string& name, const std::string& unit, const std::vector<WindowSamples>& windows,
                const WindowSamples& all, const Statistic& ours) {
  Figure figure{.name = name, .unit = unit, .value = ours(all)};
  std::transform(windows.begin(), windows.end(), std::back_inserter(figure.runs), ours);
  return figure;
}

double CountFrom(const std::vector<double>& latencies_us, double period_us) {
  return std::count_if(latencies_us.begin(), latencies_us.end(),
                       [&](double latency) { return latency >= period_us; });
}

// Periods that cyclictest has slept through: it, too, goes on with the next one that is still to come.
double MissedPeriods(const std::vector<double>& latencies_us, double period_us) {
  return std::accumulate(latencies_us.begin(), latencies_us.end(), 0.0,
                         [&](double sum, double latency) { return sum + std::floor(latency / period_us); });
}

std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.4g", value);
  return text;
}

}  // namespace

double Quantile(std::vector<double> values, double share) {
  if (values.empty()) {
    return 0;
  }
  const auto rank = static_cast<size_t>(std::ceil(share * values.size()));
  const auto at = values.begin() + (rank == 0 ? 0 : rank - 1);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

double Mean(const std::vector<double>& values) {
  return values.empty() ? 0 : std::accumulate(values.begin(), values.end(), 0.0) / values.size();
}

std::string SchedulerName(const RealtimeReport& report) {
  return report.scheduling ? "SCHED_FIFO" : "SCHED_OTHER";
}

void PrintFigure(const Figure& figure, const FigureContext& context) {
  std::string line =
      absl::StrCat("{\"figure\": \"", figure.name, "\", \"case\": \"", context.case_name,
                   "\", \"value\": ", Number(figure.value), ", \"unit\": \"", figure.unit, "\", \"runs\": [",
                   absl::StrJoin(figure.runs, ", ",
                                 [](std::string* out, double run) { absl::StrAppend(out, Number(run)); }),
                   "]");
  if (figure.limit.has_value()) {
    absl::StrAppend(&line, ", \"peer\": \"cyclictest\", \"limit\": ", Number(*figure.limit));
    if (*figure.limit > 0) {
      absl::StrAppend(&line, ", \"ratio_to_limit\": ", Number(figure.value / *figure.limit));
    }
  }
  if (figure.bar.has_value()) {
    absl::StrAppend(&line, ", \"bar\": ", Number(*figure.bar),
                    ", \"bar_met\": ", figure.value <= *figure.bar ? "true" : "false");
  }
  if (context.seconds > 0) {
    absl::StrAppend(&line, ", \"seconds\": ", Number(context.seconds));
  }
  absl::StrAppend(&line, ", \"cpu\": ", context.cpu, ", \"scheduler\": \"", context.scheduler,
                  "\", \"load_average\": ", Number(context.load_average), "}\n");
  std::fputs(line.c_str(), stdout);
  std::fflush(stdout);
}

std::vector<Figure> CaseFigures(const std::vector<WindowSamples>& windows, double period_us) {
  const WindowSamples all = Pool(windows);
  std::vector<Figure> figures;
  const auto add = [&](const char* name, const char* unit, const Statistic& ours) -> Figure& {
    return figures.emplace_back(Describe(name, unit, windows, all, ours));
  };
  Figure& mean = add("robot_wake_up_mean", "us", [](const auto& window) { return Mean(window.wake_up_us); });
  mean.limit = Mean(all.cyclictest_us);
  mean.bar = *mean.limit + 20;
  Figure& p99 =
      add("robot_wake_up_p99", "us", [](const auto& window) { return Quantile(window.wake_up_us, 0.99); });
  p99.limit = Quantile(all.cyclictest_us, 0.99);
  p99.bar = 2 * *p99.limit;
  add("robot_tick_compute_p50", "us", [](const auto& window) { return Quantile(window.compute_us, 0.5); });
  add("robot_tick_compute_p99.9", "us", [](const auto& window) {
    return Quantile(window.compute_us, 0.999);
  }).bar = 0.1 * period_us;
  add("robot_late_wake_ups", "1", [&](const auto& window) {
    return CountFrom(window.wake_up_us, period_us);
  }).limit = CountFrom(all.cyclictest_us, period_us);
  Figure& overruns = add("robot_overruns", "1", [](const auto& window) { return window.overruns; });
  overruns.limit = CountFrom(all.cyclictest_us, period_us);
  overruns.bar = overruns.limit;
  add("robot_missed_ticks", "1", [](const auto& window) { return window.missed_ticks; }).limit =
      MissedPeriods(all.cyclictest_us, period_us);
  return figures;
}

}  // namespace demorl
