#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace demorl {

// One learning curve: mean and spread of evaluation returns over the seeds of one algorithm with one preset
// on one environment.
struct LearningCurve {
  struct Point {
    int64_t environment_steps = 0;
    double mean_return = 0;
    // Population standard deviation over seeds; with a single seed, over its evaluation episodes.
    double stddev_return = 0;
    int num_seeds = 0;
  };
  std::string environment_id;
  std::string algorithm;  // and its preset, where one was named
  int num_seeds = 0;
  std::vector<Point> points;
};

// Reads eval.csv and config.textproto of each run folder and groups the runs. A seed counts at each step that
// any run of its group was evaluated at, interpolated between its own evaluations and never beyond its last.
// NOT_FOUND: no run, or a folder without eval.csv. FAILED_PRECONDITION: no row yet. INVALID_ARGUMENT: a
// malformed file, naming the line.
absl::StatusOr<std::vector<LearningCurve>> LoadLearningCurves(
    const std::vector<std::filesystem::path>& run_folders);

// Draws curves into `<stem>.png` and `<stem>.svg` with gnuplot. NOT_FOUND if gnuplot is not installed;
// INTERNAL with its message if it fails.
absl::Status DrawLearningCurves(const std::vector<LearningCurve>& curves, const std::filesystem::path& stem);

// Both of the above.
absl::Status PlotRuns(const std::vector<std::filesystem::path>& run_folders,
                      const std::filesystem::path& stem);

}  // namespace demorl
