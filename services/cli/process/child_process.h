#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace demorl {

// A program that is fed through its standard input. Thread-compatible. Destroying it kills the program if it
// still runs.
class ChildProcess {
 public:
  // `arguments[0]` is looked up in PATH. NOT_FOUND if there is no such program.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(const std::vector<std::string>& arguments);
  ~ChildProcess();

  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  // Blocks while the program does not read. INTERNAL if it has ended; Finish tells why.
  absl::Status Write(absl::string_view bytes);

  // Ends its input and waits for it. INTERNAL with what it printed unless it exits with 0.
  absl::Status Finish();

 private:
  ChildProcess(std::string name, pid_t pid, int input, int output);

  const std::string name_;
  pid_t pid_;  // -1 once it was waited for
  int input_;  // -1 once closed
  int output_;
};

}  // namespace demorl
