#include "services/sac_learner/core/batch_shares.h"

#include <algorithm>

namespace demorl {
namespace {

constexpr double kStepsPerEpoch = 1000;

double Interpolate(const demorl::config::v1::LinearSchedule& schedule, double epoch) {
  const double span = schedule.end_epoch() - schedule.start_epoch();
  if (span <= 0) {
    return epoch < schedule.start_epoch() ? schedule.start_value() : schedule.end_value();
  }
  const double progress = std::clamp((epoch - schedule.start_epoch()) / span, 0.0, 1.0);
  return schedule.start_value() + progress * (schedule.end_value() - schedule.start_value());
}

}  // namespace

double RealRatio(const demorl::config::v1::RunConfig& config, int64_t environment_rows) {
  if (!config.model_based() || !config.sac().has_real_ratio()) {
    return 1;
  }
  return std::clamp(
      Interpolate(config.sac().real_ratio(), static_cast<double>(environment_rows) / kStepsPerEpoch), 0.0,
      1.0);
}

std::vector<BatchShareOfTable> BatchShares(const demorl::config::v1::RunConfig& config,
                                           int64_t environment_rows) {
  const int batch_size = config.sac().batch_size();
  const int real_rows =
      std::max(1, static_cast<int>(batch_size * RealRatio(config, environment_rows) + 1e-9));
  std::vector<BatchShareOfTable> shares = {{.table = "env", .rows = real_rows}};
  if (real_rows < batch_size) {
    shares.push_back({.table = "mpc", .rows = batch_size - real_rows});
  }
  return shares;
}

}  // namespace demorl
