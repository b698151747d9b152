#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "demorl/planning/v1/planning_service.pb.h"
#include "services/mpc_rollout/mpc_rollout_metrics.h"
#include "services/mpc_rollout/planner_setup.h"
#include "services/mpc_rollout/snapshot_feed.h"

namespace demorl {

// One caller's planner, with the plan that its next plan is shifted from. Thread-compatible; borrows feed and
// metrics.
class PlanSession {
 public:
  static absl::StatusOr<std::unique_ptr<PlanSession>> Create(const demorl::config::v1::RunConfig& config,
                                                             const PlanningEnvironment& environment,
                                                             uint64_t number, SnapshotFeed& feed,
                                                             MpcRolloutMetrics& metrics);

  // Takes the newest snapshots, then plans within the request's budget. INVALID_ARGUMENT for an observation
  // of another size or not finite; FAILED_PRECONDITION as long as there is not even a policy.
  absl::StatusOr<demorl::planning::v1::PlanResponse> Answer(const demorl::planning::v1::PlanRequest& request);

 private:
  PlanSession(std::string schema_hash, std::unique_ptr<RolloutPlanner> planner, SnapshotFeed& feed,
              MpcRolloutMetrics& metrics);

  const std::string schema_hash_;
  const std::unique_ptr<RolloutPlanner> planner_;
  SnapshotFeed& feed_;
  MpcRolloutMetrics& metrics_;
  OfferedVersions offered_;
};

}  // namespace demorl
