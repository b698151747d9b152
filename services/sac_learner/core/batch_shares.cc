#include "services/sac_learner/core/batch_shares.h"

#include <algorithm>

#include "common/config/schedule.h"

namespace demorl {

double RealRatio(const demorl::config::v1::RunConfig& config, int64_t environment_rows) {
  if (!config.model_based() || !config.sac().has_real_ratio()) {
    return 1;
  }
  const double epoch = static_cast<double>(environment_rows) / kRowsPerEpoch;
  return std::clamp(MakeEpochSchedule(config.sac().real_ratio()).At(epoch), 0.0, 1.0);
}

std::vector<TableShare> BatchShares(const demorl::config::v1::RunConfig& config, int64_t environment_rows) {
  const int batch_size = config.sac().batch_size();
  const int real_rows =
      std::max(1, static_cast<int>(batch_size * RealRatio(config, environment_rows) + 1e-9));
  std::vector<TableShare> shares = {{.table = "env", .rows = real_rows}};
  if (real_rows < batch_size) {
    shares.push_back({.table = "mpc", .rows = batch_size - real_rows});
  }
  return shares;
}

}  // namespace demorl
