#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace demorl {

struct RealtimeOptions {
  // Of SCHED_FIFO, 1 to 99; 0 for the normal scheduler.
  int priority = 80;
  // CPUs that the thread may run on; empty for all.
  std::vector<int> cpus;
  // Keeps all memory of the process in RAM.
  bool lock_memory = true;
  // Stack touched beforehand, so that the loop meets no page fault on it.
  int64_t prefault_stack_bytes = 512 * 1024;
};

// What of it the system has granted.
struct RealtimeReport {
  bool scheduling = false;
  bool memory_locked = false;
  bool affinity = false;
  bool cpu_latency_held = false;
  // One line for each thing that was refused: what, why, and what to do about it. Empty when all was granted.
  std::vector<std::string> degraded;
};

// INVALID_ARGUMENT for a priority out of range or a CPU that this machine lacks.
absl::Status CheckRealtimeOptions(const RealtimeOptions& options);

// Makes the calling thread a real-time thread as far as the system permits; what it refuses is in the report
// and the thread goes on without. Memory locking and CPU latency are of the whole process; also keeps the
// allocator from giving memory back, so that no later allocation elsewhere takes the page-table lock for
// long. Options as CheckRealtimeOptions accepts them.
RealtimeReport BecomeRealtime(const RealtimeOptions& options);

}  // namespace demorl
