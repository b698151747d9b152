#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "services/replay/core/kv_store.h"

namespace demorl::testing {

// What outlives a FakeKvStore, as a disk outlives a process.
struct FakeDisk {
  absl::Mutex mutex;
  std::map<std::string, std::string> records ABSL_GUARDED_BY(mutex);
  // Writes fail with it unless it is OK.
  absl::Status failure ABSL_GUARDED_BY(mutex);
  int num_writes ABSL_GUARDED_BY(mutex) = 0;

  void SetFailure(const absl::Status& status) {
    absl::MutexLock lock(&mutex);
    failure = status;
  }
  std::map<std::string, std::string> Copy() {
    absl::MutexLock lock(&mutex);
    return records;
  }
};

class FakeKvStore final : public KvStore {
 public:
  explicit FakeKvStore(std::shared_ptr<FakeDisk> disk) : disk_(std::move(disk)) {}

  absl::Status Write(const std::vector<KvChange>& changes) override {
    absl::MutexLock lock(&disk_->mutex);
    ++disk_->num_writes;
    if (!disk_->failure.ok()) {
      return disk_->failure;
    }
    for (const KvChange& change : changes) {
      if (change.kind == KvChange::Kind::kPut) {
        disk_->records[change.key] = change.value;
      } else if (change.kind == KvChange::Kind::kDelete) {
        disk_->records.erase(change.key);
      } else {
        disk_->records.erase(disk_->records.lower_bound(change.key),
                             disk_->records.lower_bound(change.value));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Scan(absl::string_view prefix,
                    const std::function<absl::Status(absl::string_view, absl::string_view)>& visit) override {
    for (const auto& [key, value] : disk_->Copy()) {
      if (absl::StartsWith(key, prefix)) {
        if (absl::Status status = visit(key, value); !status.ok()) {
          return status;
        }
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::string> CreateCheckpoint() override { return std::string("checkpoints/1"); }

 private:
  const std::shared_ptr<FakeDisk> disk_;
};

}  // namespace demorl::testing
