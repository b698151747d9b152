#pragma once

#include <cstdint>

#include "demorl/config/v1/run.pb.h"

namespace demorl {

// Whether a training is due with `environment_rows` rows of D_ENV when the last one began with
// `last_trained_rows` (0 for none): first as soon as the learner starts, then once past each multiple of the
// interval, and never after the last epoch. A trainer that is behind trains once, not once per multiple.
bool TrainingIsDue(const demorl::config::v1::RunConfig& config, int64_t environment_rows,
                   int64_t last_trained_rows);

}  // namespace demorl
