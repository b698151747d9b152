#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>

#include "absl/status/status.h"
#include "common/policy/mlp_policy.h"
#include "common/robot/control/robot_loop.h"
#include "common/tensor/environment_spec.h"
#include "services/snapshot/snapshot_client.h"

namespace demorl {

// Follows the newest policy and prepares it for the control loop: decoding, checking and building happen on
// this thread. A policy for another robot, of other shapes or with non-finite weights is refused and counted;
// the last good one stays.
class PolicyFeed {
 public:
  struct Parts {
    std::unique_ptr<SnapshotWatch> policies;
    EnvironmentSpec spec;
    // Called with the payload before the loop gets the policy.
    std::function<absl::Status(uint64_t version, const std::string& payload)> keep;
    // Called when it has passed all checks, right before the loop gets it; `start` is when they began.
    std::function<void(const demorl::snapshot::v1::SnapshotMetadata& metadata, absl::Time start)> adopted;
    std::function<void(std::unique_ptr<LoopPolicy>)> offer;
  };

  explicit PolicyFeed(Parts parts);
  ~PolicyFeed() { Close(); }

  void Start();
  // Idempotent.
  void Close();

  uint64_t num_refused() const { return num_refused_.load(); }
  // Of the newest one offered; 0 before the first.
  uint64_t version() const { return version_.load(); }

 private:
  void Run();
  absl::Status Adopt(const Snapshot& snapshot);

  const Parts parts_;
  const std::string schema_hash_;
  std::atomic<uint64_t> num_refused_ = 0;
  std::atomic<uint64_t> version_ = 0;
  std::thread thread_;
};

}  // namespace demorl
