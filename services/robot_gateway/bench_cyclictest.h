#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "services/robot_gateway/bench_child.h"

namespace demorl {

// The wake-ups that cyclictest of rt-tests sees at the same period, on the same CPU and with the same
// scheduling as the loop it is to judge.
class Cyclictest {
 public:
  struct Options {
    absl::Duration period;
    // Where its ticks lie within the period, on CLOCK_MONOTONIC.
    absl::Duration phase;
    int64_t num_ticks = 0;
    int cpu = 0;
    // Of SCHED_FIFO; 0 for the normal scheduler.
    int priority = 0;
    // For its files.
    std::filesystem::path folder;
  };

  // Its first tick is in the second of CLOCK_MONOTONIC after the next one at the earliest. NOT_FOUND where
  // rt-tests is not installed.
  static absl::StatusOr<Cyclictest> Start(const Options& options);

  bool IsRunning() { return child_.IsRunning(); }

  // Of a run that has ended: wake-up latencies in whole microseconds, rounded down, in ascending order.
  // INTERNAL if it failed.
  absl::StatusOr<std::vector<double>> LatenciesUs() const;

 private:
  Cyclictest(BenchChild child, std::filesystem::path histogram)
      : child_(std::move(child)), histogram_(std::move(histogram)) {}

  BenchChild child_;
  std::filesystem::path histogram_;
};

}  // namespace demorl
