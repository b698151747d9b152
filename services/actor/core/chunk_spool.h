#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace demorl {

// An append-only log of chunks on disk, which keeps what a writer has not yet been told is durable elsewhere.
// Records carry a CRC; what was appended survives a kill of the process (not a power cut: nothing is
// fsynced). Files of at most `file_bytes` are deleted as a whole once all their records are removed.
// Thread-compatible.
//
// Record: uint32 payload size, uint32 CRC32C over sequence and payload, uint64 sequence, payload.
class ChunkSpool {
 public:
  struct Options {
    std::filesystem::path folder;
    int64_t max_bytes = int64_t{256} << 20;
    int64_t file_bytes = int64_t{1} << 20;
  };
  struct Record {
    uint64_t sequence = 0;
    std::string payload;
  };

  // Makes the folder if it is missing and reads what an earlier process left in it.
  static absl::StatusOr<std::unique_ptr<ChunkSpool>> Open(const Options& options);
  ~ChunkSpool();

  // What was there when it was opened, by sequence; may be taken once. The records stay in the log.
  std::vector<Record> TakeRecovered();
  // Bytes at the end of files that were no whole record, as a kill in the middle of a write leaves them.
  int64_t num_damaged_bytes() const { return num_damaged_bytes_; }

  // Sequences must grow. RESOURCE_EXHAUSTED when the bound is reached or the disk is full; the record is then
  // not in the log.
  absl::Status Append(uint64_t sequence, absl::string_view payload);

  // Forgets all records up to and including `sequence`.
  absl::Status RemoveThrough(uint64_t sequence);

  // Deletes the files that Open found, whose records have been appended again.
  absl::Status RemoveRecovered();

  int64_t num_bytes() const;

 private:
  struct File {
    std::filesystem::path path;
    int64_t num_bytes = 0;
    uint64_t last_sequence = 0;
    bool recovered = false;
  };

  explicit ChunkSpool(const Options& options) : options_(options) {}
  absl::Status Recover();
  absl::Status ReadRecords(const std::filesystem::path& path);
  absl::Status StartFile();
  absl::Status RemoveFront();
  void CloseFile();

  const Options options_;
  std::deque<File> files_;  // oldest first; the last one is written to while descriptor_ is open
  int descriptor_ = -1;
  uint64_t next_file_number_ = 1;
  int64_t num_damaged_bytes_ = 0;
  std::vector<Record> recovered_;
};

}  // namespace demorl
