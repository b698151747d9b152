#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/robot/control/robot_loop.h"
#include "common/robot/drivers/actuator_bus.h"
#include "common/robot/drivers/imu.h"
#include "common/robot/realtime/control_loop.h"

namespace demorl {

// Runs a robot's loop, and interrupts it where devices must be talked to at leisure. Thread-safe.
class ControlHost {
 public:
  struct Timings {
    uint64_t num_ticks = 0;
    uint64_t num_missed = 0;
  };

  // Borrows all; `imu` may be null.
  ControlHost(const ControlLoop::Options& options, RobotLoop* body, ActuatorBus* bus, Imu* imu)
      : options_(options), body_(*body), bus_(*bus), imu_(imu) {}
  ~ControlHost() { Stop(); }

  // Logs what the system has refused. INVALID_ARGUMENT for real-time options that this machine cannot have.
  absl::Status Start();
  // For good, motors off. Idempotent.
  void Stop();

  // Halts the loop, clears what the actuators latch, starts the IMU anew, and goes on; the loop goes on
  // whatever comes of it. The motors are to be off.
  absl::Status RecoverDevices();

  // Hands every timing since the last call to `visit`.
  void TakeTimings(absl::FunctionRef<void(const TickTiming&)> visit);

  // In words, as far as the bus can be asked just now.
  std::string DescribeFault(uint32_t fault) const;

  Timings timings() const;
  // What the system has refused, one line each.
  std::vector<std::string> degraded() const;

 private:
  absl::Status StartLoop() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StopLoop() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const ControlLoop::Options options_;
  RobotLoop& body_;
  ActuatorBus& bus_;
  Imu* const imu_;
  // Bus and IMU while the loop is halted; taken alone.
  mutable absl::Mutex recovery_mutex_;
  mutable absl::Mutex mutex_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<ControlLoop> loop_ ABSL_GUARDED_BY(mutex_);
  // Of loops that have ended.
  Timings past_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace demorl
