#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace demorl {

// Another program beside a benchmark. Destroying it kills it. Thread-compatible.
class BenchChild {
 public:
  // `arguments[0]` is looked up in PATH; what it prints goes to `output`, which is overwritten. NOT_FOUND if
  // there is no such program.
  static absl::StatusOr<BenchChild> Start(const std::vector<std::string>& arguments,
                                          const std::filesystem::path& output);
  BenchChild(BenchChild&& other) noexcept;
  BenchChild& operator=(BenchChild&&) = delete;
  ~BenchChild() { Kill(); }

  bool IsRunning();
  // kill -9, and waits until it is gone; nothing if it has ended.
  void Kill();
  // OK if it has ended with 0; else INTERNAL with what it printed last.
  absl::Status Result() const;

 private:
  BenchChild(std::string name, pid_t pid, std::filesystem::path output)
      : name_(std::move(name)), pid_(pid), output_(std::move(output)) {}

  std::string name_;
  pid_t pid_;  // -1 once it was waited for
  int wait_status_ = 0;
  std::filesystem::path output_;
};

}  // namespace demorl
