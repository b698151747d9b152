// Draws learning curves with gnuplot.

#include <algorithm>
#include <array>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "common/base/status_macros.h"
#include "services/cli/plot/plot.h"
#include "services/cli/process/child_process.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;

// Told apart also by colour-blind readers [Wong 2011].
constexpr std::array<const char*, 8> kColours = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                 "#e69f00", "#56b4e9", "#000000", "#b8a800"};

// A single-quoted string of gnuplot.
std::string Quote(absl::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "''"}, {"\n", " "}}), "'");
}

std::set<std::string> Environments(const std::vector<LearningCurve>& curves) {
  std::set<std::string> ids;
  for (const LearningCurve& curve : curves) {
    ids.insert(curve.environment_id);
  }
  return ids;
}

std::string Label(const LearningCurve& curve, bool with_environment) {
  return absl::StrCat(with_environment ? absl::StrCat(curve.environment_id, ", ") : "", curve.algorithm,
                      curve.num_seeds == 1 ? " (1 seed)" : absl::StrCat(" (", curve.num_seeds, " seeds)"));
}

std::string DataBlocks(const std::vector<LearningCurve>& curves) {
  std::string text;
  for (size_t i = 0; i < curves.size(); ++i) {
    absl::StrAppend(&text, "$curve", i, " << EOD\n");
    for (const LearningCurve::Point& point : curves[i].points) {
      absl::StrAppendFormat(&text, "%d %.9g %.9g\n", point.environment_steps, point.mean_return,
                            point.stddev_return);
    }
    absl::StrAppend(&text, "EOD\n");
  }
  return text;
}

// Bands first, so that no band hides a line.
std::string PlotCommand(const std::vector<LearningCurve>& curves) {
  const bool with_environment = Environments(curves).size() > 1;
  std::vector<std::string> parts;
  for (size_t i = 0; i < curves.size(); ++i) {
    parts.push_back(absl::StrFormat(
        "$curve%d using 1:($2-$3):($2+$3) with filledcurves notitle linecolor rgb '%s' fillstyle transparent "
        "solid 0.18 noborder",
        i, kColours[i % kColours.size()]));
  }
  for (size_t i = 0; i < curves.size(); ++i) {
    parts.push_back(absl::StrFormat("$curve%d using 1:2 with %s title %s linecolor rgb '%s' linewidth 2.5 %s",
                                    i, curves[i].points.size() == 1 ? "points" : "lines",
                                    Quote(Label(curves[i], with_environment)), kColours[i % kColours.size()],
                                    curves[i].points.size() == 1 ? "pointtype 7" : "dashtype 1"));
  }
  return absl::StrCat("plot ", absl::StrJoin(parts, ", \\\n     "), "\n");
}

std::string Script(const std::vector<LearningCurve>& curves, const fs::path& png, const fs::path& svg) {
  const std::string plot = PlotCommand(curves);
  return absl::StrCat(
      "set encoding utf8\n", DataBlocks(curves), "set title ",
      Quote(absl::StrJoin(Environments(curves), ", ")),
      " noenhanced font ',16'\n"
      "set xlabel 'environment steps'\n"
      "set ylabel 'mean evaluation return'\n"
      "set border 3 linewidth 1.2 linecolor rgb '#555555'\n"
      "set tics nomirror out textcolor rgb '#333333'\n"
      "set grid linetype 1 linewidth 0.8 linecolor rgb '#e4e4e4' back\n"
      "set key tmargin center horizontal reverse Left noenhanced samplen 2.5 spacing 1.3\n"
      "set format x '%.0f'\n"
      "set format y '%g'\n"
      "set xrange [0:*]\n"
      "set rmargin 5\n"
      "set offsets 0, 0, graph 0.03, graph 0.03\n"
      "set terminal pngcairo size 1200,750 background rgb 'white' font 'Sans,13'\nset output ",
      Quote(png.string()), "\n", plot,
      "set terminal svg size 960,600 dynamic background rgb 'white' font 'Sans,13'\nset output ",
      Quote(svg.string()), "\n", plot, "set output\n");
}

absl::Status Rename(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) {
    return absl::InternalError(absl::StrCat("cannot write ", to.string(), ": ", error.message()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status DrawLearningCurves(const std::vector<LearningCurve>& curves, const fs::path& stem) {
  if (std::none_of(curves.begin(), curves.end(), [](const auto& curve) { return !curve.points.empty(); })) {
    return absl::FailedPreconditionError("there is nothing to draw: no curve has a point");
  }
  // Drawn beside the pictures and renamed, so that a viewer never sees half of one.
  const fs::path png = absl::StrCat(stem.string(), ".png"), svg = absl::StrCat(stem.string(), ".svg");
  const fs::path new_png = absl::StrCat(stem.string(), ".new.png");
  const fs::path new_svg = absl::StrCat(stem.string(), ".new.svg");
  absl::StatusOr<std::unique_ptr<ChildProcess>> gnuplot = ChildProcess::Start({"gnuplot", "-"});
  if (absl::IsNotFound(gnuplot.status())) {
    return absl::NotFoundError("gnuplot, which draws the curves, is not installed: apt install gnuplot-nox");
  }
  RETURN_IF_ERROR(gnuplot.status());
  (*gnuplot)->Write(Script(curves, new_png, new_svg)).IgnoreError();  // Finish says why
  RETURN_IF_ERROR((*gnuplot)->Finish());
  RETURN_IF_ERROR(Rename(new_png, png));
  return Rename(new_svg, svg);
}

absl::Status PlotRuns(const std::vector<fs::path>& run_folders, const fs::path& stem) {
  ASSIGN_OR_RETURN(const std::vector<LearningCurve> curves, LoadLearningCurves(run_folders));
  return DrawLearningCurves(curves, stem);
}

}  // namespace demorl
