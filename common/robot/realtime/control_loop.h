#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "common/robot/realtime/realtime_thread.h"
#include "common/robot/realtime/spsc_ring.h"

namespace demorl {

// One period of a control loop. Times are on RealClock's time line.
struct Tick {
  // Number of the period since the start. The number of a tick that follows missed ones is larger by more
  // than one.
  uint64_t index = 0;
  // Periods missed just before this one, since the tick before took too long or the thread woke too late.
  uint64_t missed = 0;
  absl::Duration scheduled;
  absl::Duration woke;
};

// What a control loop does in each period. Called by the loop's thread only; real-time safe: no allocation,
// lock, log, exception or remote call.
class ControlLoopBody {
 public:
  virtual ~ControlLoopBody() = default;
  virtual void RunTick(const Tick& tick) = 0;
};

// Timing of one tick.
struct TickTiming {
  int64_t wake_up_latency_ns = 0;
  // From waking up to the end of RunTick.
  int64_t compute_ns = 0;
  uint64_t missed = 0;
};

// Runs a body once per period, in its own thread, at absolute times of CLOCK_MONOTONIC. A tick that ends late
// is an overrun: the periods it has eaten are skipped and counted, never caught up.
class ControlLoop {
 public:
  struct Options {
    absl::Duration period;
    RealtimeOptions realtime;
    // Timings kept for TakeTimings; older ones that nobody took are dropped.
    int timing_capacity = 8192;
    // Number of the first tick, for a loop that goes on where another one stopped.
    uint64_t first_index = 0;
  };

  // Starts the thread and waits until it is set up. `body` must outlive the loop. INVALID_ARGUMENT for a
  // period that is not positive or real-time options that CheckRealtimeOptions refuses.
  static absl::StatusOr<std::unique_ptr<ControlLoop>> Start(const Options& options, ControlLoopBody* body);

  // Ends after the current tick.
  ~ControlLoop();
  // The same; idempotent. Blocks until the thread has ended.
  void Stop();

  // What the system has granted.
  const RealtimeReport& report() const { return report_; }

  // Hands every timing since the last call to `visit`, oldest first. Of one thread, not the loop's.
  void TakeTimings(absl::FunctionRef<void(const TickTiming&)> visit);

  // Any thread.
  uint64_t num_ticks() const { return num_ticks_.load(std::memory_order_relaxed); }
  uint64_t num_missed() const { return num_missed_.load(std::memory_order_relaxed); }
  uint64_t num_dropped_timings() const { return num_dropped_timings_.load(std::memory_order_relaxed); }

 private:
  ControlLoop(const Options& options, ControlLoopBody* body);
  void Run();
  void RunPeriods();

  const Options options_;
  ControlLoopBody* const body_;
  RealtimeReport report_;
  absl::Notification ready_;
  std::atomic<bool> stop_ = false;
  SpscRing<TickTiming> timings_;
  std::atomic<uint64_t> num_ticks_ = 0;
  std::atomic<uint64_t> num_missed_ = 0;
  std::atomic<uint64_t> num_dropped_timings_ = 0;
  std::thread thread_;
};

}  // namespace demorl
