#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/mpc_rollout/core/rollout_planner.h"
#include "services/mpc_rollout/mpc_rollout_metrics.h"
#include "services/snapshot/snapshot_client.h"

namespace demorl {

// The newest versions that one planner has been offered; 0 before the first.
struct OfferedVersions {
  struct Offered {
    uint64_t version = 0;
    bool refused = false;
  };

  bool any_refused() const { return dynamics.refused || policy.refused || value.refused; }

  Offered dynamics;
  Offered policy;
  Offered value;
};

// Follows the newest dynamics, policy and value for all planners of the process. Thread-safe.
class SnapshotFeed {
 public:
  struct Watches {
    std::unique_ptr<SnapshotWatch> dynamics;
    std::unique_ptr<SnapshotWatch> policy;
    std::unique_ptr<SnapshotWatch> value;
  };

  SnapshotFeed(Watches watches, MpcRolloutMetrics& metrics);

  // Gives the planner what is newer than `offered`. A refused snapshot is counted and logged, and the last
  // good one stays. Never blocks on the network. The dynamics that the planner has taken, or null.
  std::shared_ptr<const Snapshot> Update(const std::string& schema_hash, OfferedVersions* offered,
                                         RolloutPlanner* planner);

  // Blocks until there is a dynamics snapshot other than `known_version`. DEADLINE_EXCEEDED, CANCELLED after
  // Close, FAILED_PRECONDITION for another run.
  absl::Status WaitForNewDynamics(uint64_t known_version, absl::Time deadline);

  // Blocks until there is a version of this kind. The same errors.
  absl::Status WaitForFirst(demorl::snapshot::v1::SnapshotKind kind, absl::Time deadline);

  // Rows of D_ENV behind the newest dynamics snapshot; 0 without one.
  int64_t EnvironmentRows() const;

  void Close();

 private:
  MpcRolloutMetrics& metrics_;
  const Watches watches_;
};

}  // namespace demorl
