#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/tensor/environment_spec.h"
#include "demorl/snapshot/v1/snapshot_service.pb.h"
#include "grpcpp/channel.h"

namespace demorl {

// One version with its payload, shared and immutable.
struct Snapshot {
  demorl::snapshot::v1::SnapshotMetadata metadata;
  std::string payload;
};

// Of a snapshot for this environment, made under this configuration; kind, architecture and the rest of the
// lineage are left to set.
demorl::snapshot::v1::SnapshotMetadata MakeSnapshotMetadata(const EnvironmentSpec& environment,
                                                            const std::string& config_hash);

// When the store took it in.
inline absl::Time PublishTime(const demorl::snapshot::v1::SnapshotMetadata& metadata) {
  return absl::FromUnixSeconds(metadata.create_time().seconds()) +
         absl::Nanoseconds(metadata.create_time().nanos());
}

// Follows the newest version of one kind in the background; reconnects by itself. Thread-safe.
class SnapshotWatch {
 public:
  virtual ~SnapshotWatch() = default;

  // The newest version received, or null. Never blocks.
  virtual std::shared_ptr<const Snapshot> Latest() const = 0;

  // Blocks until a version other than `known_version` is here. DEADLINE_EXCEEDED; CANCELLED after Close;
  // FAILED_PRECONDITION for another run.
  virtual absl::StatusOr<std::shared_ptr<const Snapshot>> WaitForNewer(uint64_t known_version,
                                                                       absl::Time deadline) = 0;

  virtual void Close() = 0;
};

// A snapshot service reached over a channel. Thread-safe.
class SnapshotClient {
 public:
  SnapshotClient(std::shared_ptr<grpc::Channel> channel, std::string run_id);
  ~SnapshotClient();

  // Fills run_id, digest and size; the store sets version and time. Returns the version. Retries UNAVAILABLE
  // until the deadline.
  absl::StatusOr<uint64_t> Publish(demorl::snapshot::v1::SnapshotMetadata metadata,
                                   const std::string& payload, absl::Time deadline);

  std::unique_ptr<SnapshotWatch> Watch(demorl::snapshot::v1::SnapshotKind kind);

  // version 0: what watchers receive now.
  absl::StatusOr<std::shared_ptr<const Snapshot>> Get(demorl::snapshot::v1::SnapshotKind kind,
                                                      uint64_t version);
  absl::StatusOr<demorl::snapshot::v1::ListResponse> List(demorl::snapshot::v1::SnapshotKind kind,
                                                          int max_results);
  absl::Status Pin(demorl::snapshot::v1::SnapshotKind kind, uint64_t version);
  absl::Status Unpin(demorl::snapshot::v1::SnapshotKind kind);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace demorl
