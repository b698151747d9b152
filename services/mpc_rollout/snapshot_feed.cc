#include "services/mpc_rollout/snapshot_feed.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/status_macros.h"
#include "spdlog/spdlog.h"

namespace demorl {
namespace {

using Setter = absl::Status (RolloutPlanner::*)(const TensorFile& tensors, uint64_t version);

absl::Status Offer(const Snapshot& snapshot, const std::string& schema_hash, Setter setter,
                   RolloutPlanner* planner) {
  const auto& metadata = snapshot.metadata;
  if (!metadata.schema_hash().empty() && metadata.schema_hash() != schema_hash) {
    return absl::FailedPreconditionError(
        absl::StrCat("schema ", metadata.schema_hash(), "; want ", schema_hash));
  }
  ASSIGN_OR_RETURN(const TensorFile tensors, DecodeSafetensors(snapshot.payload));
  return (planner->*setter)(tensors, metadata.version());
}

// What the planner has taken, or null.
std::shared_ptr<const Snapshot> UpdateOne(const SnapshotWatch& watch, const char* kind,
                                          const std::string& schema_hash, Setter setter,
                                          OfferedVersions::Offered* offered, RolloutPlanner* planner,
                                          MpcRolloutMetrics& metrics) {
  std::shared_ptr<const Snapshot> latest = watch.Latest();
  if (latest == nullptr || latest->metadata.version() == offered->version) {
    return nullptr;
  }
  offered->version = latest->metadata.version();
  const absl::Status status = Offer(*latest, schema_hash, setter, planner);
  offered->refused = !status.ok();
  if (offered->refused) {
    metrics.refused_snapshots.Increment();
    spdlog::warn("{} snapshot {} refused: {}", kind, offered->version, std::string(status.message()));
    return nullptr;
  }
  return latest;
}

}  // namespace

SnapshotFeed::SnapshotFeed(Watches watches, MpcRolloutMetrics& metrics)
    : metrics_(metrics), watches_(std::move(watches)) {}

std::shared_ptr<const Snapshot> SnapshotFeed::Update(const std::string& schema_hash, OfferedVersions* offered,
                                                     RolloutPlanner* planner) {
  UpdateOne(*watches_.policy, "policy", schema_hash, &RolloutPlanner::SetPolicy, &offered->policy, planner,
            metrics_);
  UpdateOne(*watches_.value, "value", schema_hash, &RolloutPlanner::SetValue, &offered->value, planner,
            metrics_);
  std::shared_ptr<const Snapshot> dynamics =
      UpdateOne(*watches_.dynamics, "dynamics", schema_hash, &RolloutPlanner::SetDynamics, &offered->dynamics,
                planner, metrics_);
  if (dynamics != nullptr) {
    metrics_.dynamics_applied.Applied(PublishTime(dynamics->metadata), absl::Now());
  }
  return dynamics;
}

absl::Status SnapshotFeed::WaitForNewDynamics(uint64_t known_version, absl::Time deadline) {
  return watches_.dynamics->WaitForNewer(known_version, deadline).status();
}

absl::Status SnapshotFeed::WaitForFirst(demorl::snapshot::v1::SnapshotKind kind, absl::Time deadline) {
  const bool is_policy = kind == demorl::snapshot::v1::SNAPSHOT_KIND_POLICY;
  const bool is_value = kind == demorl::snapshot::v1::SNAPSHOT_KIND_VALUE;
  SnapshotWatch& watch = is_policy ? *watches_.policy : is_value ? *watches_.value : *watches_.dynamics;
  return watch.WaitForNewer(0, deadline).status();
}

int64_t SnapshotFeed::EnvironmentRows() const {
  const std::shared_ptr<const Snapshot> latest = watches_.dynamics->Latest();
  return latest == nullptr ? 0 : static_cast<int64_t>(latest->metadata.lineage().environment_rows());
}

void SnapshotFeed::Close() {
  watches_.dynamics->Close();
  watches_.policy->Close();
  watches_.value->Close();
}

}  // namespace demorl
