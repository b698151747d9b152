#pragma once

#include <filesystem>
#include <string>

#include "absl/time/time.h"

namespace demorl {

// Says when a file, or what is in a folder, has changed; looks at most once a second. Thread-compatible.
class FileWatch {
 public:
  explicit FileWatch(std::filesystem::path path) : path_(std::move(path)) {}

  const std::filesystem::path& path() const { return path_; }

  // True the first time, after each change of names, sizes, modes or times, and a second after a failure.
  bool Changed();

  // What has been seen could not be read, or made no sense. True the first time since it changed, which is
  // when there is a reason to say so.
  bool NoteFailure();

 private:
  const std::filesystem::path path_;
  std::string seen_;
  bool looked_ = false;
  bool has_failed_ = false;
  bool is_failure_known_ = false;
  absl::Duration next_look_;
};

}  // namespace demorl
