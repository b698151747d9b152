#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/policy/safetensors.h"
#include "common/robot/control/operator_panel.h"
#include "common/robot/control/robot_loop.h"
#include "common/robot/drivers/actuator_bus.h"
#include "common/robot/realtime/control_loop.h"
#include "common/robot/realtime/spsc_ring.h"
#include "common/robot/recording/tick_record.h"

namespace demorl {

inline constexpr absl::Duration kBenchPeriod = absl::Milliseconds(2);

// Actuators in memory that answer at once and stand still, so that what is measured is the loop.
class InstantBus final : public ActuatorBus {
 public:
  explicit InstantBus(int num_joints) : num_joints_(num_joints) {}

  int num_joints() const override { return num_joints_; }
  absl::StatusOr<std::vector<ActuatorInfo>> Identify() override {
    return std::vector<ActuatorInfo>(num_joints_);
  }
  absl::Status Configure(absl::Duration) override { return absl::OkStatus(); }
  absl::Status ClearFaults() override { return absl::OkStatus(); }
  BusResult Read(absl::Duration deadline, std::span<JointMeasurement> measurements) override;
  BusResult Write(std::span<const JointCommand>) override { return {}; }
  BusCounters counters() const override { return {}; }
  std::string DescribeFault(uint32_t) const override { return "none"; }

 private:
  const int num_joints_;
};

// A task of the leg's sizes: 8 observations, 2 torques, episodes of 450 steps.
class LegSizedTask final : public RobotTask {
 public:
  LegSizedTask();

  const EnvironmentSpec& spec() const override { return spec_; }
  int num_joints() const override { return 2; }
  bool Reset(const RobotMeasurement&, absl::Duration, std::span<JointCommand>) override { return true; }
  void BeginEpisode(const RobotMeasurement&, Random&) override { phase_ = 0; }
  Outcome Evaluate(const RobotMeasurement& measurement, int num_periods) override;
  void Observe(const RobotMeasurement& measurement, std::span<float> observation) override;
  void Command(const RobotMeasurement& measurement, std::span<const float> action,
               std::span<JointCommand> commands) override;

 private:
  const EnvironmentSpec spec_;
  double phase_ = 0;
  std::array<float, 2> last_action_{};
};

// Limits that a robot of this task never reaches.
std::vector<JointLimits> LegSizedLimits();

// A policy of 2 x 256 units with random weights, as a learner would publish it for LegSizedTask.
TensorFile RandomLegPolicy(uint64_t seed);
absl::StatusOr<std::unique_ptr<LoopPolicy>> MakeLoopPolicy(const TensorFile& file, uint64_t version);

// The robot loop as a gateway runs it, armed, in episodes by policy. Its methods are for one thread.
class BenchRobot {
 public:
  BenchRobot();

  // One tick in the calling thread, instead of Start; discards its record.
  void TickHere(const Tick& tick);

  // Gives the loop its thread, and waits until its policy acts. FAILED_PRECONDITION if it does not come to
  // that.
  absl::Status Start(const RealtimeOptions& realtime);
  // Ends the thread.
  void Stop() { control_loop_.reset(); }

  // The newest of the policies that were offered acts from the next tick on.
  absl::Status OfferPolicy(const TensorFile& file);

  // Hands over what the loop has done since the last call.
  void Drain(absl::FunctionRef<void(const TickTiming&)> on_timing,
             absl::FunctionRef<void(const TickRecord&)> on_record);

  const RobotTask& task() const { return task_; }
  const RealtimeReport& report() const { return control_loop_->report(); }
  // Start of its ticks within the period, on CLOCK_MONOTONIC.
  absl::Duration phase() const { return phase_; }
  // Records and timings that came while there was no room for them.
  uint64_t num_lost() const {
    return robot_loop_.num_dropped_records() + control_loop_->num_dropped_timings();
  }

 private:
  LegSizedTask task_;
  InstantBus bus_;
  OperatorPanel panel_;
  SpscRing<TickRecord> records_;
  RobotLoop robot_loop_;
  TickRecord record_;
  uint64_t policy_version_ = 0;
  absl::Duration phase_;
  std::unique_ptr<ControlLoop> control_loop_;
};

}  // namespace demorl
