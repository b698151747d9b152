#include "services/cli/run/run_report.h"

#include <cstdio>

#include "services/cli/plot/plot.h"
#include "services/cli/run/progress_display.h"

namespace demorl {

void ReportRun(const RunFolder& folder) {
  if (!folder.evaluations().empty()) {
    if (const absl::Status drawn = PlotRuns({folder.path()}, folder.path() / "curve"); !drawn.ok()) {
      std::printf("no curve.png: %s\n", std::string(drawn.message()).c_str());
    }
    const EvaluationRow& last = folder.evaluations().back();
    std::printf("%s, %s, seed %lu: mean return %.1f +- %.1f at %s steps, %s\n",
                folder.config().environment().c_str(), folder.config().algorithm().c_str(),
                folder.config().seed(), last.mean_return, last.stddev_return,
                WithThousands(last.environment_steps).c_str(), FormatDuration(last.wall_s).c_str());
  }
  std::printf("run folder: %s\n", folder.path().c_str());
}

}  // namespace demorl
