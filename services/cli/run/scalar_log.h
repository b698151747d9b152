#pragma once

#include <filesystem>
#include <memory>

#include "absl/status/status.h"
#include "services/cli/run/run_folder.h"

namespace demorl {

// Writes a run's figures as TensorBoard events, under the names that users of other systems know
// (rollout/ep_rew_mean, train/critic_loss, ...). Thread-compatible.
class ScalarLog {
 public:
  // Events go to a new file in `folder`, made at the first scalar.
  explicit ScalarLog(std::filesystem::path folder);
  ~ScalarLog();

  absl::Status AddProgress(const ProgressRow& row);
  absl::Status AddEvaluation(const EvaluationRow& row);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace demorl
