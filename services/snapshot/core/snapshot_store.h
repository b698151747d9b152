#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/metrics/metrics.h"
#include "services/snapshot/core/snapshot_files.h"
#include "services/snapshot/core/snapshot_metrics.h"
#include "services/snapshot/core/snapshot_record.h"

namespace demorl {

// One watcher's slot: holds the newest version that it has not taken yet. Thread-safe.
class SnapshotSubscription {
 public:
  SnapshotSubscription(SnapshotKind kind, uint64_t known_version, std::function<void()> on_new)
      : kind_(kind), on_new_(std::move(on_new)), last_version_(known_version) {}

  // The version in the slot, which is empty afterwards; null if there is none.
  std::shared_ptr<const StoredSnapshot> Take();

 private:
  friend class SnapshotStore;
  // Replaces what is in the slot; false if the watcher has this version already.
  bool Offer(std::shared_ptr<const StoredSnapshot> snapshot);

  const SnapshotKind kind_;
  const std::function<void()> on_new_;
  absl::Mutex mutex_;
  // Offered or known last.
  uint64_t last_version_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const StoredSnapshot> slot_ ABSL_GUARDED_BY(mutex_);
};

// Versioned weights: checked before anyone sees them, durable before they are acknowledged, pruned by age,
// pinned by operators. Publish, Pin and Unpin wait for the disk; the rest never does, but Get of an old
// version. Thread-safe.
class SnapshotStore {
 public:
  struct Options {
    // In memory only when empty.
    std::filesystem::path data_dir;
    // Versions kept per kind, pinned ones not counted.
    int keep_versions = 10;
    // Publications, watches and pins of another run are refused; empty accepts all.
    std::string run_id;
    Metrics* metrics = nullptr;
    // Wall clock, microseconds since 1970.
    std::function<int64_t()> now_us;
  };

  // Reloads what the folder holds. A damaged version is set aside and counted, an older one serves in its
  // place. FAILED_PRECONDITION if the folder belongs to another run; DATA_LOSS for a damaged list of pins.
  static absl::StatusOr<std::unique_ptr<SnapshotStore>> Open(Options options);

  // Stores the next version of info.kind and offers it to watchers. Version and time are set here. DATA_LOSS:
  // digest or size differ. INVALID_ARGUMENT: malformed, non-finite, or of another shape or schema than the
  // version before. FAILED_PRECONDITION: another run. Of the disk: RESOURCE_EXHAUSTED, PERMISSION_DENIED,
  // INTERNAL.
  absl::StatusOr<uint64_t> Publish(SnapshotInfo info, std::string payload);

  // The pinned version, or the newest; null if there is none.
  std::shared_ptr<const StoredSnapshot> Current(SnapshotKind kind) const;

  // Version 0 stands for the current one. NOT_FOUND, DATA_LOSS.
  absl::StatusOr<std::shared_ptr<const StoredSnapshot>> Get(SnapshotKind kind, uint64_t version) const;

  // Newest first within a kind; all kinds without one. max_results 0 for all.
  std::vector<SnapshotInfo> List(std::optional<SnapshotKind> kind, size_t max_results) const;
  std::map<SnapshotKind, uint64_t> Pinned() const;

  // Watchers receive this version until it is unpinned. NOT_FOUND, FAILED_PRECONDITION: another run.
  absl::StatusOr<SnapshotInfo> Pin(const std::string& run_id, SnapshotKind kind, uint64_t version);

  // Returns what watchers receive from now on; nothing if there is no version.
  absl::StatusOr<std::optional<SnapshotInfo>> Unpin(const std::string& run_id, SnapshotKind kind);

  // Offers the current version at once, unless it is the known one, and each later one. `on_new` says that
  // the slot may be full; it is called without a lock, perhaps after the subscription is gone, and must not
  // block. The watcher ends by dropping the subscription.
  std::shared_ptr<SnapshotSubscription> Subscribe(SnapshotKind kind, uint64_t known_version,
                                                  std::function<void()> on_new);

  // FAILED_PRECONDITION naming both ids.
  absl::Status CheckRun(const std::string& run_id) const;

  // What Open set aside as damaged, one line each.
  const std::vector<std::string>& damaged() const { return damaged_; }

  // The reason if the last publications failed for want of a working disk; empty otherwise.
  std::string StorageTrouble() const;

 private:
  struct Entry {
    SnapshotInfo info;
    // Null when only the disk has the payload.
    std::shared_ptr<const StoredSnapshot> loaded;
  };
  struct Kind {
    std::map<uint64_t, Entry> entries;
    uint64_t highest_version = 0;
    std::optional<uint64_t> pinned;
  };

  explicit SnapshotStore(Options options);

  absl::Status Reload();
  absl::Status Check(const SnapshotInfo& info, const std::string& payload);
  absl::Status CheckAgainstPrevious(const SnapshotInfo& info) const;
  absl::Status Store(const StoredSnapshot& snapshot);
  void Insert(std::shared_ptr<const StoredSnapshot> snapshot);
  void Refuse(SnapshotKind kind, const char* reason);
  absl::StatusOr<std::shared_ptr<const StoredSnapshot>> Load(SnapshotKind kind, uint64_t version) const;
  // Changes a pin on disk, then in memory.
  absl::Status SetPin(SnapshotKind kind, std::optional<uint64_t> version)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);
  // Removes versions beyond keep_versions, and from memory what watchers do not receive.
  std::vector<uint64_t> Prune(Kind& kind) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  const Entry* CurrentEntry(SnapshotKind kind) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OfferCurrent(SnapshotKind kind);

  const Options options_;
  std::optional<SnapshotFiles> files_;
  SnapshotMetrics metrics_;
  // Filled by Open only.
  std::vector<std::string> damaged_;
  // Held while the disk is written, so that readers, who take the other one, never wait for it.
  absl::Mutex write_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  mutable absl::Mutex mutex_;
  std::map<SnapshotKind, Kind> kinds_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::weak_ptr<SnapshotSubscription>> subscriptions_ ABSL_GUARDED_BY(mutex_);
  int failed_writes_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string last_failure_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace demorl
