#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace demorl {

// A queue of records on disk, which keeps what a writer has not yet been told is durable elsewhere. Records
// carry a CRC; what was appended survives a kill of the process (not a power cut: nothing is fsynced). Files
// of about `file_bytes` are deleted as a whole once all their records are removed. One process at a time;
// thread-safe, so that one thread may append and another read and remove.
//
// File: spool-<sequence of its first record, 20 digits>.log. Record: uint32 payload size, uint32 CRC32C over
// sequence and payload, uint64 sequence, payload; little-endian.
class RecordSpool {
 public:
  enum class WhenFull {
    // Append answers RESOURCE_EXHAUSTED.
    kRefuse,
    // The oldest file is deleted: the newest records matter more.
    kDropOldest,
  };
  struct Options {
    std::filesystem::path folder;
    int64_t max_bytes = int64_t{256} << 20;
    // At most a quarter of max_bytes for kDropOldest.
    int64_t file_bytes = int64_t{1} << 20;
    WhenFull when_full = WhenFull::kRefuse;
  };
  struct Record {
    uint64_t sequence = 0;
    std::string payload;
  };
  struct Figures {
    int64_t bytes = 0;
    // Records that were neither removed nor dropped.
    int64_t records = 0;
    // When the oldest of these was appended; to 0.1 s, and for what an earlier process left, to its file.
    // InfiniteFuture without any.
    absl::Time oldest = absl::InfiniteFuture();
    // Since the spool was opened: deleted unsent for lack of room; not taken by Append.
    int64_t dropped_records = 0;
    int64_t refused_records = 0;
    // Found by Open: bytes that belong to no whole record, as a kill in the middle of a write or a damaged
    // disk leaves them.
    int64_t damaged_bytes = 0;
  };

  // Makes the folder if it is missing, and counts what an earlier process left in it.
  static absl::StatusOr<std::unique_ptr<RecordSpool>> Open(const Options& options);
  ~RecordSpool();

  RecordSpool(const RecordSpool&) = delete;
  RecordSpool& operator=(const RecordSpool&) = delete;

  // The sequence given to the record: one more than last_sequence(), over restarts too. RESOURCE_EXHAUSTED
  // when the bound is reached or the disk is full; the record is then not in the spool, and the next one is
  // tried again.
  absl::StatusOr<uint64_t> Append(absl::string_view payload);

  // Forgets all records up to and including `sequence`.
  absl::Status RemoveThrough(uint64_t sequence);

  // The last sequence given, by this process or an earlier one; 0 for none.
  uint64_t last_sequence() const;

  // Blocks until last_sequence() > sequence; false at the deadline.
  bool WaitBeyond(uint64_t sequence, absl::Time deadline) const;

  Figures figures() const;

  const std::filesystem::path& folder() const { return options_.folder; }

  // Reads records in order, those of earlier processes first. What is dropped or removed while it reads is
  // passed over, and so are damaged records. Thread-compatible; the spool must outlive it.
  class Reader {
   public:
    // Begins with the first record after `sequence`.
    explicit Reader(RecordSpool* spool, uint64_t sequence = 0) : spool_(spool), sequence_(sequence) {}
    ~Reader();
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    // Nothing if all has been read.
    absl::StatusOr<std::optional<Record>> Next();

   private:
    // False if the file has been deleted meanwhile.
    absl::StatusOr<bool> OpenFile(uint64_t first_sequence);
    void CloseFile();
    // The next record of the open file, of which `num_bytes` are complete; nothing at its end.
    absl::StatusOr<std::optional<Record>> ReadRecord(int64_t num_bytes);

    RecordSpool* const spool_;
    uint64_t sequence_;        // last one given out, or passed over
    uint64_t file_first_ = 0;  // names the open file
    int descriptor_ = -1;
    int64_t offset_ = 0;
    std::string buffer_;
  };

 private:
  struct File {
    uint64_t first_sequence = 0;
    uint64_t last_sequence = 0;  // first_sequence - 1 while it is empty
    int64_t num_bytes = 0;
    int64_t num_records = 0;
  };
  struct Mark {
    uint64_t sequence = 0;
    absl::Time time;
  };
  struct Span {
    File file;
    bool newest = false;
  };

  explicit RecordSpool(const Options& options) : options_(options) {}
  static uint64_t LastPossible(const File& file);
  absl::Status Recover();
  absl::Status RecoverFile(uint64_t first_sequence) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Write(absl::string_view record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status MakeRoom(int64_t record_bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status StartFile() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status RemoveFront() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CloseFile() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The first file whose name is at least `first_sequence`.
  std::optional<Span> FindFile(uint64_t first_sequence) const;
  int64_t PendingRecords(const File& file) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Forget(uint64_t through) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::filesystem::path PathOf(uint64_t first_sequence) const;

  const Options options_;
  mutable absl::Mutex mutex_;
  // Oldest first; the last one is written to while descriptor_ is open.
  std::deque<File> files_ ABSL_GUARDED_BY(mutex_);
  int descriptor_ ABSL_GUARDED_BY(mutex_) = -1;
  int64_t num_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t last_sequence_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t next_sequence_ ABSL_GUARDED_BY(mutex_) = 1;
  uint64_t removed_through_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<Mark> marks_ ABSL_GUARDED_BY(mutex_);
  Figures counts_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace demorl
