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

  // True the first time, and after each change of names, sizes or times.
  bool Changed();

 private:
  const std::filesystem::path path_;
  std::string seen_;
  bool looked_ = false;
  absl::Duration next_look_;
};

}  // namespace demorl
