#include "common/rpc/service_checkpoints.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "spdlog/spdlog.h"

namespace demorl {

ServiceCheckpoints::ServiceCheckpoints(const std::string& data_dir, int keep, CheckpointMetrics metrics)
    : metrics_(metrics) {
  if (!data_dir.empty()) {
    store_.emplace(std::filesystem::path(data_dir) / "checkpoints", keep);
  }
}

absl::StatusOr<std::optional<LoadedCheckpoint>> ServiceCheckpoints::LoadNewest(
    const std::vector<std::string>& files) const {
  if (!store_.has_value()) {
    return std::nullopt;
  }
  absl::StatusOr<LoadedCheckpoint> checkpoint = store_->LoadNewest();
  if (absl::IsNotFound(checkpoint.status())) {
    return std::nullopt;
  }
  RETURN_IF_ERROR(checkpoint.status());
  for (const std::string& reason : checkpoint->skipped) {
    metrics_.damaged.Increment();
    spdlog::warn("passed over a checkpoint: {}", reason);
  }
  for (const std::string& file : files) {
    if (!checkpoint->files.contains(file)) {
      return absl::InvalidArgumentError(
          absl::StrCat("checkpoint ", checkpoint->step, " has no file ", file, "; it is another service's"));
    }
  }
  return *std::move(checkpoint);
}

absl::StatusOr<std::string> ServiceCheckpoints::Write(int64_t step, const CheckpointFiles& files) const {
  if (!store_.has_value()) {
    return std::string();
  }
  const absl::StatusOr<std::filesystem::path> folder = store_->Write(step, files);
  if (!folder.ok()) {
    metrics_.failures.Increment();
    spdlog::error("checkpoint failed: {}", folder.status().ToString());
    return folder.status();
  }
  metrics_.written.Increment();
  return folder->string();
}

}  // namespace demorl
