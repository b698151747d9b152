#include "services/cli/plot/plot.h"

#include <unistd.h>

#include <cmath>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/base/file_io.h"
#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace demorl {
namespace {

namespace fs = std::filesystem;
using ::demorl::testing::StatusIs;
using ::testing::HasSubstr;

constexpr char kHeader[] =
    "environment_steps,mean_return,stddev_return,mean_length,episodes,policy_version,wall_s\n";

class PlotTest : public ::testing::Test {
 protected:
  PlotTest()
      : folder_(fs::path(::testing::TempDir()) /
                absl::StrCat("plot_", getpid(), "_",
                             ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    EXPECT_OK(MakeFolders(folder_));
  }
  ~PlotTest() override { fs::remove_all(folder_); }

  fs::path MakeRun(const std::string& name, const std::string& algorithm, const std::string& rows,
                   const std::string& environment = "Hopper-v5") {
    const fs::path run = folder_ / name;
    EXPECT_OK(MakeFolders(run));
    EXPECT_OK(WriteFileAtomically(run / "eval.csv", rows));
    EXPECT_OK(WriteFileAtomically(
        run / "config.textproto",
        absl::StrCat("environment: \"", environment, "\"\nalgorithm: \"", algorithm, "\"\n")));
    return run;
  }

  const fs::path folder_;
};

TEST_F(PlotTest, AveragesTheSeedsOfOneAlgorithmAndKeepsAlgorithmsApart) {
  const auto a = MakeRun("a", "sac", absl::StrCat(kHeader, "1000,10,1,5,5,1,2\n2000,20,1,5,5,1,2\n"));
  const auto b = MakeRun("b", "mdemorl", absl::StrCat(kHeader, "1000,50,4,5,5,1,2\n"));
  const auto c = MakeRun("c", "sac", absl::StrCat(kHeader, "1000,14,1,5,5,1,2\n2000,30,1,5,5,1,2\n"));
  ASSERT_OK_AND_ASSIGN(const std::vector<LearningCurve> curves, LoadLearningCurves({a, b, c}));
  ASSERT_EQ(curves.size(), 2u);
  EXPECT_EQ(curves[0].algorithm, "sac");
  EXPECT_EQ(curves[0].environment_id, "Hopper-v5");
  EXPECT_EQ(curves[0].num_seeds, 2);
  ASSERT_EQ(curves[0].points.size(), 2u);
  EXPECT_EQ(curves[0].points[1].environment_steps, 2000);
  EXPECT_DOUBLE_EQ(curves[0].points[0].mean_return, 12);
  EXPECT_DOUBLE_EQ(curves[0].points[1].mean_return, 25);
  EXPECT_DOUBLE_EQ(curves[0].points[1].stddev_return, 5);
  EXPECT_EQ(curves[1].num_seeds, 1);
  EXPECT_DOUBLE_EQ(curves[1].points[0].stddev_return, 4);  // of the one seed's episodes
}

TEST_F(PlotTest, KeepsRunsWithANamedPresetApart) {
  const std::string rows = absl::StrCat(kHeader, "1000,10,1,5,5,1,2\n");
  const auto plain = MakeRun("plain", "sac", rows);
  const auto preset = MakeRun("preset", "sac\"\npreset: \"paper_scale", rows);
  ASSERT_OK_AND_ASSIGN(const std::vector<LearningCurve> curves, LoadLearningCurves({plain, preset}));
  ASSERT_EQ(curves.size(), 2u);
  EXPECT_EQ(curves[0].algorithm, "sac");
  EXPECT_EQ(curves[1].algorithm, "sac paper_scale");
}

TEST_F(PlotTest, InterpolatesBetweenEvaluationsButNeverBeyondTheLast) {
  const auto a = MakeRun("a", "sac", absl::StrCat(kHeader, "1000,10,1,5,5,1,2\n3000,30,1,5,5,1,2\n"));
  const auto b = MakeRun("b", "sac", absl::StrCat(kHeader, "2000,40,1,5,5,1,2\n"));
  ASSERT_OK_AND_ASSIGN(const std::vector<LearningCurve> curves, LoadLearningCurves({a, b}));
  const std::vector<LearningCurve::Point>& points = curves[0].points;
  ASSERT_EQ(points.size(), 3u);
  EXPECT_EQ(points[0].num_seeds, 1);
  EXPECT_EQ(points[1].num_seeds, 2);
  EXPECT_DOUBLE_EQ(points[1].mean_return, 30);
  EXPECT_EQ(points[2].num_seeds, 1);
  EXPECT_DOUBLE_EQ(points[2].mean_return, 30);
}

TEST_F(PlotTest, LeavesOutALineThatACrashCutOffAndTakesTheLaterOfRepeatedSteps) {
  const auto a =
      MakeRun("a", "sac", absl::StrCat(kHeader, "1000,10,1,5,5,1,2\n1000,12,1,5,5,1,2\n2000,20,1,5"));
  ASSERT_OK_AND_ASSIGN(const std::vector<LearningCurve> curves, LoadLearningCurves({a}));
  ASSERT_EQ(curves[0].points.size(), 1u);
  EXPECT_EQ(curves[0].points[0].mean_return, 12);
}

TEST_F(PlotTest, SaysWhatIsWrongWithARun) {
  EXPECT_THAT(LoadLearningCurves({}), StatusIs(absl::StatusCode::kNotFound, HasSubstr("no run folder")));
  EXPECT_THAT(LoadLearningCurves({folder_ / "none"}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
  ASSERT_OK(MakeFolders(folder_ / "empty"));
  EXPECT_THAT(LoadLearningCurves({folder_ / "empty"}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr("no eval.csv")));
  EXPECT_THAT(LoadLearningCurves({MakeRun("a", "sac", "")}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("is empty")));
  EXPECT_THAT(LoadLearningCurves({MakeRun("b", "sac", kHeader)}),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("no evaluation yet")));
  EXPECT_THAT(LoadLearningCurves({MakeRun("c", "sac", "step,return\n1,2\n")}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("eval.csv:1: found columns")));
  EXPECT_THAT(
      LoadLearningCurves({MakeRun("d", "sac", absl::StrCat(kHeader, "1000,1,1,1,1,1,1\n2000,x,1\n"))}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("eval.csv:3")));
  EXPECT_THAT(LoadLearningCurves({MakeRun("e", "sac", absl::StrCat(kHeader, "1000,nan,1,1,1,1,1\n"))}),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("eval.csv:2")));
}

// Curves as a comparison gives them.
std::vector<fs::path> MakeComparison(
    const std::function<fs::path(std::string, std::string, std::string)>& make) {
  std::vector<fs::path> runs;
  const std::vector<std::pair<std::string, double>> algorithms = {
      {"mdemorl", 4900}, {"mbpo", 3300}, {"sac", 520}};
  for (const auto& [algorithm, final_return] : algorithms) {
    for (int seed = 0; seed < 3; ++seed) {
      std::string rows = kHeader;
      for (int step = 0; step <= 10'000; step += 1000) {
        const double progress = step / 10'000.0;
        const double value =
            final_return * (1 - std::exp(-3 * progress)) * (1 + 0.12 * (seed - 1) * progress) +
            60 * std::sin(step * 0.003 + seed * 2) - 150;
        absl::StrAppend(&rows, step, ",", value, ",100,1000,5,", step / 250, ",", step / 2, "\n");
      }
      runs.push_back(make(absl::StrCat(algorithm, "_", seed), algorithm, rows));
    }
  }
  return runs;
}

TEST_F(PlotTest, DrawsOnePictureAsPngAndSvg) {
  const std::vector<fs::path> runs =
      MakeComparison([this](const std::string& name, const std::string& algorithm, const std::string& rows) {
        return MakeRun(name, algorithm, rows, "HalfCheetah-v5");
      });
  ASSERT_OK(PlotRuns(runs, folder_ / "curve it's"));
  ASSERT_OK_AND_ASSIGN(const std::string png, ReadFile(folder_ / "curve it's.png"));
  EXPECT_EQ(png.substr(1, 3), "PNG");
  EXPECT_GT(png.size(), 10'000u);
  ASSERT_OK_AND_ASSIGN(const std::string svg, ReadFile(folder_ / "curve it's.svg"));
  for (const char* text : {"HalfCheetah-v5", "mdemorl (3 seeds)", "sac (3 seeds)", "environment steps",
                           "mean evaluation return"}) {
    EXPECT_THAT(svg, HasSubstr(text));
  }
  if (const char* keep = std::getenv("DEMORL_KEEP_PICTURE")) {
    fs::copy_file(folder_ / "curve it's.png", keep, fs::copy_options::overwrite_existing);
  }
}

TEST_F(PlotTest, DrawsASinglePoint) {
  const auto a = MakeRun("a", "sac", absl::StrCat(kHeader, "1000,10,0,5,5,1,2\n"));
  EXPECT_OK(PlotRuns({a}, folder_ / "curve"));
  EXPECT_TRUE(fs::exists(folder_ / "curve.png"));
}

TEST_F(PlotTest, RefusesToDrawNothing) {
  EXPECT_THAT(DrawLearningCurves({}, folder_ / "curve"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("nothing to draw")));
}

TEST_F(PlotTest, SaysThatGnuplotIsMissing) {
  const std::string path = std::getenv("PATH");
  setenv("PATH", folder_.c_str(), 1);
  const absl::Status status =
      DrawLearningCurves({{.algorithm = "sac", .points = {{.environment_steps = 1}}}}, folder_ / "curve");
  setenv("PATH", path.c_str(), 1);
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kNotFound, HasSubstr("apt install gnuplot")));
}

TEST_F(PlotTest, PassesOnWhatGnuplotSays) {
  EXPECT_THAT(DrawLearningCurves({{.algorithm = "sac", .points = {{.environment_steps = 1}}}},
                                 folder_ / "missing" / "curve"),
              StatusIs(absl::StatusCode::kInternal, HasSubstr("missing/curve")));
}

}  // namespace
}  // namespace demorl
