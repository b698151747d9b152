#pragma once

#include <filesystem>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/robot/realtime/realtime_thread.h"
#include "services/robot_gateway/bench_cyclictest.h"
#include "services/robot_gateway/bench_disturbance.h"
#include "services/robot_gateway/bench_figures.h"
#include "services/robot_gateway/bench_robot.h"

namespace demorl {

// Of SCHED_FIFO: what is measured, and cyclictest, run at it.
inline constexpr int kBenchPriority = 80;

struct WindowOptions {
  absl::Duration duration;
  // Where loop and cyclictest run.
  int cpu = 0;
  // For cyclictest's files.
  std::filesystem::path folder;
};

// One measurement of a robot's loop and of cyclictest, for one use.
class BenchWindow {
 public:
  // `disturbance` must outlive it.
  BenchWindow(const WindowOptions& options, Disturbance* disturbance)
      : options_(options), disturbance_(*disturbance) {}

  // Both at once, with the same scheduling on the same CPU, half a period apart: stalls of the machine reach
  // both, and neither finds the other on the CPU unless it is half a period late.
  absl::StatusOr<WindowSamples> MeasureTogether();

  // The loop first, then cyclictest, `duration` each.
  absl::StatusOr<WindowSamples> MeasureInTurns();

  // What the system has granted to the loop.
  const RealtimeReport& report() const { return report_; }
  // Ticks of the loop that no sample tells of.
  uint64_t num_lost() const { return num_lost_; }

 private:
  absl::Status StartRobot();
  absl::StatusOr<Cyclictest> StartCyclictest(absl::Duration phase);
  absl::Status PumpWhile(absl::FunctionRef<bool()> goes_on);
  void Drain();
  // What the loop has done so far was before the window.
  void Discard();

  const WindowOptions options_;
  Disturbance& disturbance_;
  BenchRobot robot_;
  RealtimeReport report_;
  WindowSamples samples_;
  uint64_t num_lost_ = 0;
};

}  // namespace demorl
