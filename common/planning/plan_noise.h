#pragma once

#include <span>

#include "common/base/random.h"
#include "common/planning/dmd_mpc_options.h"

namespace demorl {

// Draws the noise of one sample, in units of its standard deviation: noise [H, A].
//   white             n_h ~ N(0, I).
//   truncated         N(0, I) conditioned on |n| <= 2.
//   time-correlated   n_h = beta e_h + (1 - beta) n_{h-1}, e_h ~ N(0, I), n_{-1} = 0.
// Differs: PDDM filters mean plus noise; here the filter acts on the noise alone, so that sample 0 stays the
// mean.
void FillPlanNoise(PlanNoiseKind kind, double beta, int action_size, Random& random, std::span<float> noise);

}  // namespace demorl
