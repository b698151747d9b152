#pragma once

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "demorl/config/v1/run.pb.h"
#include "services/mpc_rollout/core/rollout_planner.h"
#include "services/mpc_rollout/planner_setup.h"
#include "services/mpc_rollout/snapshot_feed.h"

namespace demorl {

// What a planner does before it says that it is ready: takes over what the run has to plan with, and plans
// once, for a first plan waits for memory, threads and kernels. A run that has no model yet keeps no planner
// from being ready: there is nobody else to ask, and its callers get the policy's action meanwhile.
// Thread-compatible.
class WarmUp {
 public:
  using IsPublished = std::function<absl::StatusOr<bool>(demorl::snapshot::v1::SnapshotKind kind)>;

  // `is_published`: whether the snapshot service has a version of that kind. Borrows the feed.
  WarmUp(IsPublished is_published, SnapshotFeed& feed);

  // One attempt. UNAVAILABLE or DEADLINE_EXCEEDED when another may succeed: the snapshot service does not
  // answer, what it has is not here yet, or none of it can be planned with.
  absl::Status Try(const demorl::config::v1::RunConfig& config, const PlanningEnvironment& environment);

 private:
  absl::Status AwaitPublished();

  const IsPublished is_published_;
  SnapshotFeed& feed_;
  std::unique_ptr<RolloutPlanner> planner_;
  OfferedVersions offered_;
};

}  // namespace demorl
