#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "services/replay/core/kv_store.h"

namespace demorl {

// Whose changes are written. Called by the committing thread only.
class CommitSource {
 public:
  virtual ~CommitSource() = default;
  // What has changed since the last call; empty when nothing has.
  virtual std::vector<KvChange> CollectChanges() = 0;
  // What the last call collected is on the disk.
  virtual void OnCommitted() = 0;
  // It is not, for this reason; it is tried again.
  virtual void OnCommitFailed(const absl::Status& status) = 0;
};

// One thread that writes changes in groups: at once when idle, else one group per interval. A group that
// cannot be written is tried again, with back-off up to 1 s, before any later one. Thread-safe.
class GroupCommit {
 public:
  using CheckpointCallback = std::function<void(const absl::StatusOr<std::string>& path)>;

  // Both are borrowed.
  GroupCommit(KvStore* store, CommitSource* source, absl::Duration interval);
  ~GroupCommit() { Stop(); }

  // Tries once more to write what is left, and ends the thread. Idempotent; not from two threads at once.
  void Stop();

  // Something changed that somebody waits for, or (lazily) nobody: that waits for company, at most 1 s.
  void Request(bool lazily = false);

  // Writes everything, then makes a copy of the store; `done` is called by the committing thread, or at once
  // with CANCELLED after Stop.
  void RequestCheckpoint(CheckpointCallback done);

 private:
  void Run();
  // Sleeps until a group is due. False when stopping.
  bool WaitUntilDue();
  absl::Status Commit();
  void RunCheckpoints(const absl::Status& committed);
  bool Urgent() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || urgent_ || !checkpoints_.empty();
  }

  KvStore* const store_;
  CommitSource* const source_;
  const absl::Duration interval_;

  absl::Mutex mutex_;
  bool urgent_ ABSL_GUARDED_BY(mutex_) = false;
  bool lazy_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<CheckpointCallback> checkpoints_ ABSL_GUARDED_BY(mutex_);

  // Of the committing thread.
  std::vector<KvChange> changes_;
  absl::Time last_commit_ = absl::InfinitePast();
  int failures_ = 0;
  std::thread thread_;
};

}  // namespace demorl
