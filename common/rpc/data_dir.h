#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "absl/status/statusor.h"

namespace demorl {

// A component's folder for durable state, held by one process at a time. The lock goes with the process,
// however that ends.
class DataDir {
 public:
  // Makes the folder, takes its lock and counts the start durably. FAILED_PRECONDITION naming the holder's
  // process id if another one has the folder; DATA_LOSS if the counter cannot be read.
  static absl::StatusOr<std::unique_ptr<DataDir>> Open(const std::filesystem::path& path);
  ~DataDir();
  DataDir(const DataDir&) = delete;
  DataDir& operator=(const DataDir&) = delete;

  const std::filesystem::path& path() const { return path_; }

  // From 1, one more at each Open of this folder: the writer epoch.
  uint64_t start_count() const { return start_count_; }

 private:
  DataDir(std::filesystem::path path, int lock_fd);

  const std::filesystem::path path_;
  const int lock_fd_;
  uint64_t start_count_ = 0;
};

}  // namespace demorl
