#pragma once

#include "absl/status/status.h"
#include "common/concurrency/stop_token.h"
#include "services/cli/run/run_folder.h"

namespace demorl {

// Runs the cores of all services on one thread in the order of the paper's Algorithm 1: the same seed and
// machine give the same curve and weights, bit by bit, also when the run was killed and resumed from its last
// checkpoint. Blocks until the run is complete (OK), `stop` is requested (a checkpoint is written;
// CANCELLED), or a core cannot go on.
absl::Status RunDeterministically(RunFolder& folder, StopToken stop);

}  // namespace demorl
