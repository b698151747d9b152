#pragma once

#include "absl/status/status.h"
#include "common/concurrency/stop_token.h"
#include "services/cli/run/run_folder.h"

namespace demorl {

// Runs all services of a run in this process, each on its own threads, connected by in-process channels.
// Blocks until the run is complete (OK), `stop` is requested (everything is drained and can be resumed;
// CANCELLED), or a service cannot go on (its reason).
absl::Status RunLocally(RunFolder& folder, StopToken stop);

}  // namespace demorl
