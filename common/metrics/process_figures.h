#pragma once

#include "absl/status/statusor.h"

namespace demorl {

// What the kernel says about this process (proc(5)).
struct ProcessFigures {
  double cpu_seconds = 0;  // user and system
  double resident_memory_bytes = 0;
  double virtual_memory_bytes = 0;
  double start_time_seconds = 0;  // since 1970
  double threads = 0;
  double open_fds = 0;
  double max_fds = 0;
};

// Thread-safe. INTERNAL naming the file that is not as proc(5) says.
absl::StatusOr<ProcessFigures> ReadProcessFigures();

}  // namespace demorl
