// Reads runs and averages over seeds.

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/file_io.h"
#include "common/base/status_macros.h"
#include "common/config/loader.h"
#include "demorl/config/v1/run.pb.h"
#include "services/cli/plot/plot.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;

// One evaluation of one run.
struct Evaluation {
  int64_t environment_steps = 0;
  double mean_return = 0;
  double stddev_return = 0;
};

struct Run {
  std::string environment_id;
  std::string algorithm;
  std::vector<Evaluation> evaluations;  // by steps
};

// Positions of the columns in a line of eval.csv.
struct Columns {
  size_t environment_steps = 0;
  size_t mean_return = 0;
  size_t stddev_return = 0;
};

absl::StatusOr<Columns> ParseHeader(absl::string_view line, const fs::path& path) {
  const std::vector<absl::string_view> names = absl::StrSplit(line, ',');
  const auto find = [&names](absl::string_view name) {
    return static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
  };
  const Columns columns = {find("environment_steps"), find("mean_return"), find("stddev_return")};
  if (std::max({columns.environment_steps, columns.mean_return, columns.stddev_return}) >= names.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path.string(), ":1: found columns '", line.substr(0, 200),
                     "', environment_steps, mean_return and stddev_return must be among them"));
  }
  return columns;
}

bool ParseLine(absl::string_view line, const Columns& columns, Evaluation* evaluation) {
  const std::vector<absl::string_view> fields = absl::StrSplit(line, ',');
  return std::max({columns.environment_steps, columns.mean_return, columns.stddev_return}) < fields.size() &&
         absl::SimpleAtoi(fields[columns.environment_steps], &evaluation->environment_steps) &&
         absl::SimpleAtod(fields[columns.mean_return], &evaluation->mean_return) &&
         absl::SimpleAtod(fields[columns.stddev_return], &evaluation->stddev_return) &&
         std::isfinite(evaluation->mean_return) && std::isfinite(evaluation->stddev_return);
}

absl::StatusOr<std::vector<Evaluation>> ReadEvaluationFile(const fs::path& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
  lines.pop_back();  // behind the last line's end; a line without one was cut off by a crash
  if (lines.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(path.string(), " is empty"));
  }
  ASSIGN_OR_RETURN(const Columns columns, ParseHeader(absl::StripSuffix(lines[0], "\r"), path));
  std::map<int64_t, Evaluation> by_step;  // a resumed run may repeat a step; the later line counts
  for (size_t i = 1; i < lines.size(); ++i) {
    Evaluation evaluation;
    if (!ParseLine(absl::StripSuffix(lines[i], "\r"), columns, &evaluation)) {
      return absl::InvalidArgumentError(absl::StrCat(path.string(), ":", i + 1, ": found '",
                                                     lines[i].substr(0, 200), "', numbers are needed"));
    }
    by_step[evaluation.environment_steps] = evaluation;
  }
  if (by_step.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(path.string(), " holds no evaluation yet"));
  }
  std::vector<Evaluation> evaluations;
  for (const auto& [step, evaluation] : by_step) {
    evaluations.push_back(evaluation);
  }
  return evaluations;
}

absl::StatusOr<Run> ReadRun(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    return absl::NotFoundError(absl::StrCat("there is no run folder ", folder.string()));
  }
  if (!fs::exists(folder / "eval.csv", error)) {
    return absl::NotFoundError(
        absl::StrCat(folder.string(), " holds no eval.csv; a run folder of `demorl train` does"));
  }
  Run run;
  ASSIGN_OR_RETURN(run.evaluations, ReadEvaluationFile(folder / "eval.csv"));
  if (fs::exists(folder / "config.textproto", error)) {
    demorl::config::v1::RunConfig config;
    RETURN_IF_ERROR(MergeTextProtoFile(folder / "config.textproto", &config));
    run.environment_id = config.environment();
    run.algorithm =
        config.preset().empty() ? config.algorithm() : absl::StrCat(config.algorithm(), " ", config.preset());
  }
  if (run.algorithm.empty()) {
    const fs::path name = fs::absolute(folder, error).lexically_normal();
    run.algorithm = (name.has_filename() ? name : name.parent_path()).filename().string();
  }
  return run;
}

// The run's evaluation at `step`, interpolated; false outside what it was evaluated at.
bool Interpolate(const std::vector<Evaluation>& evaluations, int64_t step, Evaluation* result) {
  const auto after = std::lower_bound(
      evaluations.begin(), evaluations.end(), step,
      [](const Evaluation& evaluation, int64_t value) { return evaluation.environment_steps < value; });
  if (after == evaluations.end() || (after == evaluations.begin() && after->environment_steps != step)) {
    return false;
  }
  *result = *after;
  if (after->environment_steps != step) {
    const Evaluation& before = *(after - 1);
    const double weight = static_cast<double>(step - before.environment_steps) /
                          static_cast<double>(after->environment_steps - before.environment_steps);
    result->environment_steps = step;
    result->mean_return = std::lerp(before.mean_return, after->mean_return, weight);
    result->stddev_return = std::lerp(before.stddev_return, after->stddev_return, weight);
  }
  return true;
}

LearningCurve::Point Average(const std::vector<Evaluation>& seeds) {
  LearningCurve::Point point{.environment_steps = seeds.front().environment_steps,
                             .num_seeds = static_cast<int>(seeds.size())};
  for (const Evaluation& seed : seeds) {
    point.mean_return += seed.mean_return / seeds.size();
  }
  double variance = 0;
  for (const Evaluation& seed : seeds) {
    const double deviation = seed.mean_return - point.mean_return;
    variance += deviation * deviation / seeds.size();
  }
  point.stddev_return = seeds.size() == 1 ? seeds.front().stddev_return : std::sqrt(variance);
  return point;
}

std::vector<LearningCurve::Point> AverageRuns(const std::vector<const Run*>& runs) {
  std::set<int64_t> steps;
  for (const Run* run : runs) {
    for (const Evaluation& evaluation : run->evaluations) {
      steps.insert(evaluation.environment_steps);
    }
  }
  std::vector<LearningCurve::Point> points;
  for (const int64_t step : steps) {
    std::vector<Evaluation> seeds;
    for (const Run* run : runs) {
      if (Evaluation evaluation; Interpolate(run->evaluations, step, &evaluation)) {
        seeds.push_back(evaluation);
      }
    }
    points.push_back(Average(seeds));
  }
  return points;
}

}  // namespace

absl::StatusOr<std::vector<LearningCurve>> LoadLearningCurves(const std::vector<fs::path>& run_folders) {
  if (run_folders.empty()) {
    return absl::NotFoundError("no run folder was given, at least one is needed");
  }
  std::vector<Run> runs;
  for (const fs::path& folder : run_folders) {
    ASSIGN_OR_RETURN(Run run, ReadRun(folder));
    runs.push_back(std::move(run));
  }
  // In the order in which the runs were given.
  std::vector<LearningCurve> curves;
  std::map<std::pair<std::string, std::string>, std::vector<const Run*>> groups;
  for (const Run& run : runs) {
    std::vector<const Run*>& group = groups[{run.environment_id, run.algorithm}];
    if (group.empty()) {
      curves.push_back({.environment_id = run.environment_id, .algorithm = run.algorithm});
    }
    group.push_back(&run);
  }
  for (LearningCurve& curve : curves) {
    const std::vector<const Run*>& group = groups[{curve.environment_id, curve.algorithm}];
    curve.num_seeds = static_cast<int>(group.size());
    curve.points = AverageRuns(group);
  }
  return curves;
}

}  // namespace demorl
