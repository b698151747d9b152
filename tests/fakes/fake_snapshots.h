#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/policy/safetensors.h"
#include "common/tensor/trace_codec.h"
#include "services/snapshot/snapshot_client.h"

namespace demorl::testing {

// The snapshots of one kind, in memory: what a test publishes, its watches see. Thread-safe; outlives its
// watches.
class FakeSnapshots {
 public:
  std::unique_ptr<SnapshotWatch> Watch() { return std::make_unique<FakeWatch>(this); }

  void Publish(demorl::snapshot::v1::SnapshotMetadata metadata, const TensorFile& tensors) {
    auto snapshot = std::make_shared<Snapshot>();
    snapshot->metadata = std::move(metadata);
    snapshot->payload = EncodeSafetensors(tensors);
    absl::MutexLock lock(&mutex_);
    latest_ = std::move(snapshot);
  }
  void Publish(uint64_t version, const TensorFile& tensors, const std::vector<TraceContext>& traces = {}) {
    demorl::snapshot::v1::SnapshotMetadata metadata;
    metadata.set_version(version);
    EncodeTraceContexts(traces, metadata.mutable_traces());
    Publish(std::move(metadata), tensors);
  }
  bool empty() const {
    absl::MutexLock lock(&mutex_);
    return latest_ == nullptr;
  }

 private:
  class FakeWatch final : public SnapshotWatch {
   public:
    explicit FakeWatch(FakeSnapshots* snapshots) : snapshots_(*snapshots) {}

    std::shared_ptr<const Snapshot> Latest() const override {
      absl::MutexLock lock(&snapshots_.mutex_);
      return snapshots_.latest_;
    }
    absl::StatusOr<std::shared_ptr<const Snapshot>> WaitForNewer(uint64_t known_version,
                                                                 absl::Time deadline) override {
      absl::MutexLock lock(&snapshots_.mutex_);
      const auto ready = [&] {
        return closed_ ||
               (snapshots_.latest_ != nullptr && snapshots_.latest_->metadata.version() != known_version);
      };
      const bool woke = snapshots_.mutex_.AwaitWithDeadline(absl::Condition(&ready), deadline);
      if (closed_) {
        return absl::CancelledError("watch is closed");
      }
      if (!woke) {
        return absl::DeadlineExceededError("no newer version");
      }
      return snapshots_.latest_;
    }
    void Close() override {
      absl::MutexLock lock(&snapshots_.mutex_);
      closed_ = true;
    }

   private:
    FakeSnapshots& snapshots_;
    bool closed_ = false;
  };

  mutable absl::Mutex mutex_;
  std::shared_ptr<const Snapshot> latest_;
};

}  // namespace demorl::testing
