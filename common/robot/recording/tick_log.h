#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "common/robot/recording/tick_log_format.h"
#include "common/robot/recording/tick_record.h"

namespace demorl {

// The last ticks of a robot, in a file of fixed size in which the newest record overwrites the oldest. The
// file takes its place on the disk when it is made, so that a disk that fills up later does not matter; what
// was appended is there after a kill of the process (not after a power cut). The policies that acted are kept
// beside it.
//
// <folder>/<start count, 8 digits>/{ticks.log, <version>.safetensors ...}
class TickLog {
 public:
  struct Options {
    std::filesystem::path folder;
    // Of this start of the process, greater than those before.
    uint64_t start_count = 1;
    int64_t max_bytes = int64_t{128} << 20;
    // Logs of this and earlier starts that stay.
    int keep_starts = 3;
    // The oldest policies beyond these are deleted although the log refers to them.
    int max_policies = 256;
    TickLogHeader header;
  };

  // RESOURCE_EXHAUSTED if the disk has no room for it; INVALID_ARGUMENT as EncodeTickLogHeader, or where not
  // even 16 records fit.
  static absl::StatusOr<std::unique_ptr<TickLog>> Create(const Options& options);
  ~TickLog();

  TickLog(const TickLog&) = delete;
  TickLog& operator=(const TickLog&) = delete;

  // Of one thread.
  absl::Status Append(const TickRecord& record);

  // Keeps the policy for as long as there are ticks that it acted in. To be called before the control loop
  // gets it; any thread.
  absl::Status KeepPolicy(uint64_t version, absl::string_view payload);

  const std::filesystem::path& path() const { return path_; }
  int64_t capacity() const { return static_cast<int64_t>(num_slots_); }

 private:
  struct KeptPolicy {
    uint64_t version = 0;
    // Number of the last record that it acted in, or of the one before it was kept.
    uint64_t last_number = 0;
  };

  TickLog(const Options& options, std::filesystem::path path, uint64_t num_slots, int descriptor);
  std::filesystem::path PolicyPath(uint64_t version) const;
  void MarkUsed(const TickRecord& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RemoveUnusedPolicies() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::filesystem::path path_;
  const TickPacker packer_;
  const uint64_t num_slots_;
  const int max_policies_;
  const int descriptor_;
  std::string slot_;

  absl::Mutex mutex_;
  uint64_t last_number_ ABSL_GUARDED_BY(mutex_) = 0;
  // In the order in which they came.
  std::deque<KeptPolicy> policies_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace demorl
