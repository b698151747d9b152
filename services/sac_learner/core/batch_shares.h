#pragma once

#include <cstdint>
#include <vector>

#include "common/tensor/table_share.h"
#include "demorl/config/v1/run.pb.h"

namespace demorl {

// Share of D_ENV in each batch after `environment_rows` rows, by sac.real_ratio; 1 for a run without a model.
double RealRatio(const demorl::config::v1::RunConfig& config, int64_t environment_rows);

// Rows of a batch by table. int(batch_size * ratio) rows come from `env`, as in MBPO, but at least one,
// because env is the table whose rate limiter counts updates; the rest comes from `mpc`.
std::vector<TableShare> BatchShares(const demorl::config::v1::RunConfig& config, int64_t environment_rows);

}  // namespace demorl
