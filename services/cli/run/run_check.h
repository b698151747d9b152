#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "services/replay/replay_client.h"
#include "services/snapshot/snapshot_client.h"

namespace demorl {

// Tries whether a run works, from outside and without touching what it learns from. Each waits for its
// service until the deadline, and tells `note` in a line what it found.

// Writes rows to replay's table "check" and draws them back. NOT_FOUND if replay has no such table; DATA_LOSS
// if other rows come back.
absl::Status CheckReplay(ReplayClient& replay, absl::Time deadline,
                         const std::function<void(const std::string&)>& note);

// Fetches the newest policy. NOT_FOUND if there is none until the deadline.
absl::Status CheckPolicy(SnapshotClient& snapshots, absl::Time deadline,
                         const std::function<void(const std::string&)>& note);

}  // namespace demorl
