#pragma once

#include <cstdint>
#include <memory>

#include "common/rpc/security/access_control.h"
#include "common/tracing/trace_log.h"
#include "services/snapshot/core/snapshot_store.h"

namespace grpc {
class Service;
}

namespace demorl {

// The RPC skin of a SnapshotStore. What waits for the disk (Publish, Pin, Unpin, Get) runs on one thread of
// its own, in order of arrival. Thread-safe.
class SnapshotService {
 public:
  // Payload that still travels in one Watch message.
  static constexpr uint64_t kMaxPayloadBytes = 60 << 20;

  // `trace_log`, null where nothing is traced, outlives the service.
  static std::unique_ptr<SnapshotService> Create(SnapshotStore* store, SnapshotMetrics metrics,
                                                 std::shared_ptr<AccessControl> access = nullptr,
                                                 TraceLog* trace_log = nullptr);
  virtual ~SnapshotService() = default;

  virtual grpc::Service* rpc_service() = 0;

  // While false, publications are refused with UNAVAILABLE; true at first.
  virtual void SetAccepting(bool accepting) = 0;

  virtual int num_watchers() const = 0;

  // Finishes what is queued, ends watch streams with UNAVAILABLE, refuses everything new. Idempotent.
  virtual void Close() = 0;
};

}  // namespace demorl
