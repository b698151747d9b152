#pragma once

#include <span>
#include <vector>

#include "common/planning/dmd_mpc_options.h"

namespace demorl {

// Weights that the objective gives to the M samples of one start state, from their returns R; they sum to 1.
// With a control distribution N(mu, Sigma) of fixed Sigma and a utility U, the mirror step (paper, eq. 6)
// with the KL divergence on J = -log E[U] is exactly
//   mu = (1 - alpha) mu~ + alpha g,   g = E[U u] / E[U] = sum_i w_i u_i,   w_i = U_i / sum_j U_j.
// Elites are the samples whose return is at least the p-th greatest, p = max(1, round(elite_ratio M)): where
// returns tie, as under a constant reward, they are more than p, for the indicator of eq. 13 tells no two of
// them apart.
//   elites, uniform           U = 1{R >= R_min of the elites} (eq. 13): w = 1 / number of elites.
//   elites, return-weighted   U = R if every elite's R > 0, else R minus the worst sampled R; uniform if all
//   are 0. elites, cost-weighted     eq. 14 to the letter, C = -R: w = C / sum C; uniform where |sum C| <
//   1e-6 sum |C|. softmax                   U = exp((R - max R) / mppi_temperature) over all samples (MPPI).
//   none                      sample 0, the unimproved plan.
// Differs: eq. 14 does not follow from eq. 13; where every R < 0 it gives the worst elite the greatest
// weight, and with mixed signs weights are unbounded. It is kept to reproduce published code; uniform is the
// default. Non-finite returns count as -inf and get weight 0. Empty if no return is finite.
std::vector<double> ObjectiveWeights(const DmdMpcOptions& options, std::span<const double> returns);

}  // namespace demorl
