#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/base/status_macros.h"
#include "services/replay/replay_client.h"

namespace demorl::testing {

// A replay table in memory, shared by the writers that a test opens one after another. A test sets what it
// lets them do, under `mutex` once they run.
struct FakeReplayTable {
  absl::Mutex mutex;
  std::vector<TransitionChunk> chunks;
  int64_t rows = 0;
  int64_t rows_allowed = 1'000'000;
  uint64_t accepted = 0;
  // Sequence beyond which nothing is acknowledged as durable.
  uint64_t durable_limit = std::numeric_limits<uint64_t>::max();
  bool reachable = true;
  absl::Status append_status;

  // False after 30 s.
  template <typename Predicate>
  bool Await(const Predicate& predicate) {
    absl::MutexLock lock(&mutex);
    return mutex.AwaitWithTimeout(absl::Condition(&predicate), absl::Seconds(30));
  }
};

// The only writer of its table at a time.
class FakeReplayWriter final : public ReplayWriter {
 public:
  explicit FakeReplayWriter(FakeReplayTable* table) : table_(*table) {}

  absl::Status Append(const TransitionChunk& chunk, absl::Time deadline) override {
    absl::MutexLock lock(&table_.mutex);
    RETURN_IF_ERROR(table_.append_status);
    const auto ready = [this] { return table_.reachable; };
    RETURN_IF_ERROR(Await(ready, deadline, "replay does not answer"));
    table_.chunks.push_back(chunk);
    table_.rows += chunk.num_rows();
    ++table_.accepted;
    return absl::OkStatus();
  }
  int64_t RowsAllowed() override {
    absl::MutexLock lock(&table_.mutex);
    return table_.rows_allowed - table_.rows;
  }
  absl::Status WaitForRowsAllowed(int64_t rows, absl::Time deadline) override {
    absl::MutexLock lock(&table_.mutex);
    const auto ready = [&] { return table_.reachable && table_.rows_allowed - table_.rows >= rows; };
    return Await(ready, deadline, "not allowed yet");
  }
  int64_t RowsInserted() const override {
    absl::MutexLock lock(&table_.mutex);
    return table_.rows;
  }
  uint64_t LastSequence() const override {
    absl::MutexLock lock(&table_.mutex);
    return table_.accepted;
  }
  uint64_t DurableSequence() const override {
    absl::MutexLock lock(&table_.mutex);
    return std::min(table_.accepted, table_.durable_limit);
  }
  absl::Status Flush(absl::Time deadline) override {
    absl::MutexLock lock(&table_.mutex);
    const auto ready = [this] { return table_.accepted <= table_.durable_limit; };
    return Await(ready, deadline, "not durable yet");
  }
  void Close() override {
    absl::MutexLock lock(&table_.mutex);
    closed_ = true;
  }

 private:
  template <typename Predicate>
  absl::Status Await(const Predicate& predicate, absl::Time deadline, const char* what) {
    const auto ready = [&] { return closed_ || predicate(); };
    if (!table_.mutex.AwaitWithDeadline(absl::Condition(&ready), deadline)) {
      return absl::DeadlineExceededError(what);
    }
    return closed_ ? absl::CancelledError("closed") : absl::OkStatus();
  }

  FakeReplayTable& table_;
  bool closed_ = false;
};

}  // namespace demorl::testing
