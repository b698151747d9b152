#pragma once

#include "services/cli/run/run_folder.h"

namespace demorl {

// Draws curve.png and curve.svg from eval.csv and prints where everything is. A picture that cannot be drawn
// is a note, not a failure.
void ReportRun(const RunFolder& folder);

}  // namespace demorl
