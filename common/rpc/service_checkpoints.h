#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/checkpoint_store.h"
#include "common/metrics/checkpoint_metrics.h"

namespace demorl {

// The checkpoints of one service in its data folder, counted and logged. Thread-compatible.
class ServiceCheckpoints {
 public:
  // Under <data_dir>/checkpoints, the newest `keep` of them. Without a data_dir none is found and none
  // written.
  ServiceCheckpoints(const std::string& data_dir, int keep, CheckpointMetrics metrics);

  // The newest good one; nothing if none was ever written. INVALID_ARGUMENT if it lacks one of `files`,
  // DATA_LOSS if all are damaged.
  absl::StatusOr<std::optional<LoadedCheckpoint>> LoadNewest(const std::vector<std::string>& files) const;

  // Its folder, durable on return; empty without a data_dir. Errors as CheckpointStore::Write.
  absl::StatusOr<std::string> Write(int64_t step, const CheckpointFiles& files) const;

 private:
  std::optional<CheckpointStore> store_;
  CheckpointMetrics metrics_;
};

}  // namespace demorl
