#include "common/robot/realtime/realtime_thread.h"

#include <alloca.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace demorl {
namespace {

bool SetScheduling(int priority, RealtimeReport& report) {
  const sched_param parameters{.sched_priority = priority};
  const int error_number = pthread_setschedparam(pthread_self(), SCHED_FIFO, &parameters);
  if (error_number != 0) {
    report.degraded.push_back(
        absl::StrCat("SCHED_FIFO priority ", priority, ": ", strerror(error_number),
                     "; the loop runs at normal priority. Allow it with LimitRTPRIO=", priority,
                     " (systemd), rtprio in /etc/security/limits.d, or CAP_SYS_NICE"));
  }
  return error_number == 0;
}

bool LockMemory(RealtimeReport& report) {
  // Before locking: freed memory stays with the process, and big blocks come from the heap as well.
  mallopt(M_TRIM_THRESHOLD, -1);
  mallopt(M_MMAP_MAX, 0);
  if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
    report.degraded.push_back(absl::StrCat(
        "mlockall: ", strerror(errno),
        "; page faults may delay a tick. Allow it with LimitMEMLOCK=infinity (systemd), memlock in "
        "/etc/security/limits.d, or CAP_IPC_LOCK"));
    return false;
  }
  return true;
}

bool SetAffinity(const std::vector<int>& cpus, RealtimeReport& report) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) {
    CPU_SET(cpu, &set);
  }
  const int error_number = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
  if (error_number != 0) {
    report.degraded.push_back(absl::StrCat("CPU affinity: ", strerror(error_number),
                                           "; the scheduler may move the loop between CPUs"));
  }
  return error_number == 0;
}

// Keeps CPUs out of deep sleep, from which they wake late. Holds while the descriptor stays open: until exit.
bool HoldCpuLatency() {
  static const int descriptor = [] {
    const int opened = open("/dev/cpu_dma_latency", O_WRONLY | O_CLOEXEC);
    const int32_t latency_us = 0;
    if (opened >= 0 && write(opened, &latency_us, sizeof(latency_us)) != sizeof(latency_us)) {
      close(opened);
      return -1;
    }
    return opened;
  }();
  return descriptor >= 0;
}

void TouchStack(int64_t num_bytes) {
  volatile char* stack = static_cast<volatile char*>(alloca(num_bytes));
  for (int64_t i = 0; i < num_bytes; i += 1024) {
    stack[i] = 0;
  }
}

}  // namespace

absl::Status CheckRealtimeOptions(const RealtimeOptions& options) {
  if (options.priority < 0 || options.priority > 99) {
    return absl::InvalidArgumentError(
        absl::StrCat("real-time priority = ", options.priority, "; want 0 (none) to 99"));
  }
  const long num_cpus = sysconf(_SC_NPROCESSORS_CONF);
  for (const int cpu : options.cpus) {
    if (cpu < 0 || cpu >= std::min<long>(num_cpus, CPU_SETSIZE)) {
      return absl::InvalidArgumentError(
          absl::StrCat("CPU ", cpu, " for the control loop; this machine has 0 to ", num_cpus - 1));
    }
  }
  return absl::OkStatus();
}

RealtimeReport BecomeRealtime(const RealtimeOptions& options) {
  RealtimeReport report;
  if (options.lock_memory) {
    report.memory_locked = LockMemory(report);
  }
  if (!options.cpus.empty()) {
    report.affinity = SetAffinity(options.cpus, report);
  }
  report.cpu_latency_held = HoldCpuLatency();
  if (options.priority > 0) {
    report.scheduling = SetScheduling(options.priority, report);
  }
  TouchStack(options.prefault_stack_bytes);
  return report;
}

}  // namespace demorl
