#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "demorl/config/v1/run.pb.h"

namespace demorl {

// One row of eval.csv.
struct EvaluationRow {
  int64_t environment_steps = 0;
  double mean_return = 0;
  double stddev_return = 0;
  double mean_length = 0;
  int episodes = 0;
  uint64_t policy_version = 0;
  double wall_s = 0;
};

// One row of progress.csv; a figure that is not known yet is written as an empty field.
struct ProgressRow {
  int64_t environment_steps = 0;
  int64_t updates = 0;
  double episode_return = 0;
  double critic_loss = 0;
  double policy_loss = 0;
  double entropy_temperature = 0;
  double real_ratio = 0;
  double training_loss = 0;
  double holdout_error = 0;
  int64_t model_trainings = 0;
  int64_t planned_rows = 0;
  double horizon_steps = 0;
  double base_return = 0;
  double plan_return = 0;
  // Wall-clock columns stand last, so that the rest of a deterministic run can be compared.
  double updates_per_second = 0;
  double wall_s = 0;
};

// What summary.json tells beside the configuration.
struct RunSummary {
  int64_t environment_steps = 0;
  int64_t updates = 0;
  int64_t model_trainings = 0;
  int64_t planned_rows = 0;
  double wall_s = 0;
  bool finished = false;
  // Where the time goes.
  std::vector<std::pair<std::string, double>> cpu_seconds;
};

// What Open does with a folder whose run had another configuration.
enum class ChangedConfig {
  kRefuse,
  // The record goes on under the new one: of services that others started, and may have started anew.
  kAdopt,
};

// The folder of one run. Only one process writes it at a time. Thread-compatible.
class RunFolder {
 public:
  // Makes the folder, or opens one whose config.textproto agrees with `config`. environment_steps may have
  // grown; any other difference is FAILED_PRECONDITION listing the fields, unless it is to be adopted. The
  // run_id is that of `config`, which is then never another than the folder's (FAILED_PRECONDITION), or drawn
  // once. ABORTED if another process holds the folder; FAILED_PRECONDITION if it exists, is not empty, and is
  // no run folder.
  static absl::StatusOr<std::unique_ptr<RunFolder>> Open(const std::filesystem::path& path,
                                                         demorl::config::v1::RunConfig config,
                                                         ChangedConfig changed = ChangedConfig::kRefuse);
  ~RunFolder();

  const std::filesystem::path& path() const { return path_; }
  const demorl::config::v1::RunConfig& config() const { return config_; }
  const std::string& config_hash() const { return config_hash_; }
  // Whether the folder held a run before.
  bool resumed() const { return resumed_; }

  // What earlier processes left, in order.
  const std::vector<EvaluationRow>& evaluations() const { return evaluations_; }
  // Wall-clock seconds that earlier processes spent on the run.
  double earlier_wall_s() const { return earlier_wall_s_; }

  absl::Status AppendProgress(const ProgressRow& row);
  absl::Status AppendEvaluation(const EvaluationRow& row);
  absl::Status WriteSummary(const RunSummary& summary);

  // Drops rows beyond this step from both tables: what a resumed deterministic run will write again.
  absl::Status TruncateAfter(int64_t environment_steps);

 private:
  RunFolder() = default;
  absl::Status Lock();
  absl::Status LoadOrCreate(demorl::config::v1::RunConfig config, ChangedConfig changed);
  absl::Status CheckUnchanged(demorl::config::v1::RunConfig* config, ChangedConfig changed) const;
  absl::Status LoadTables();

  std::filesystem::path path_;
  demorl::config::v1::RunConfig config_;
  std::string config_hash_;
  bool resumed_ = false;
  int lock_fd_ = -1;
  std::vector<EvaluationRow> evaluations_;
  double earlier_wall_s_ = 0;
};

// Reads the eval.csv of a run. NOT_FOUND if there is none; INVALID_ARGUMENT naming the line that is
// malformed. A last line without its end (cut off by a crash) is left out.
absl::StatusOr<std::vector<EvaluationRow>> ReadEvaluations(const std::filesystem::path& file);

}  // namespace demorl
