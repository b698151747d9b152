#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/robot/recording/tick_log_format.h"
#include "common/robot/recording/tick_record.h"

namespace demorl {

// Reads a log of ticks, also one that is still written or whose writer was killed. Thread-compatible.
class TickLogReader {
 public:
  // `path`: the file, the folder of one start of the robot's process, or the folder of all starts, of which
  // the newest is read. NOT_FOUND without a log there; else as DecodeTickLogHeader.
  static absl::StatusOr<std::unique_ptr<TickLogReader>> Open(const std::filesystem::path& path);
  ~TickLogReader();

  TickLogReader(const TickLogReader&) = delete;
  TickLogReader& operator=(const TickLogReader&) = delete;

  const TickLogHeader& header() const { return header_; }
  const std::filesystem::path& path() const { return path_; }

  // The next record, oldest first; nothing after the last one.
  std::optional<TickRecord> Next();

  // Records that were whole when it was opened.
  int64_t num_records() const { return static_cast<int64_t>(order_.size()); }
  // Written slots whose records are torn or damaged.
  int64_t num_damaged() const { return num_damaged_; }

  // The payload of a policy that acted. NOT_FOUND if it is no longer beside the log.
  absl::StatusOr<std::string> ReadPolicy(uint64_t version) const;

 private:
  struct Entry {
    uint64_t number = 0;
    uint64_t slot = 0;
  };

  TickLogReader(std::filesystem::path path, const DecodedTickLogHeader& decoded, int descriptor);
  void FindRecords(uint64_t num_slots);
  uint64_t ReadSlot(uint64_t slot, TickRecord& record);

  const std::filesystem::path path_;
  const TickLogHeader header_;
  const TickPacker packer_;
  const int descriptor_;
  std::vector<Entry> order_;
  size_t next_ = 0;
  int64_t num_damaged_ = 0;
  std::string slot_;
};

}  // namespace demorl
