#include "services/model_trainer/training_schedule.h"

#include <algorithm>

#include "common/base/epoch_schedule.h"

namespace demorl {

bool TrainingIsDue(const demorl::config::v1::RunConfig& config, int64_t environment_rows,
                   int64_t last_trained_rows) {
  const demorl::config::v1::ModelConfig& model = config.model();
  if (model.last_epoch() > 0 && environment_rows > model.last_epoch() * kRowsPerEpoch) {
    return false;
  }
  if (last_trained_rows == 0) {
    return environment_rows >= std::max<int64_t>(config.sac().learning_starts(), 2);
  }
  return environment_rows / model.train_interval_steps() > last_trained_rows / model.train_interval_steps();
}

}  // namespace demorl
