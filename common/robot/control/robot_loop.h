#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "common/base/random.h"
#include "common/policy/mlp_policy.h"
#include "common/robot/control/operator_panel.h"
#include "common/robot/control/robot_task.h"
#include "common/robot/drivers/actuator_bus.h"
#include "common/robot/drivers/imu.h"
#include "common/robot/realtime/control_loop.h"
#include "common/robot/realtime/hand_over.h"
#include "common/robot/realtime/spsc_ring.h"
#include "common/robot/recording/tick_record.h"
#include "common/robot/safety/arming_state_machine.h"
#include "common/robot/safety/safety_envelope.h"

namespace demorl {

// A policy as a control loop uses it.
struct LoopPolicy {
  std::unique_ptr<MlpPolicy> network;
  uint64_t version = 0;
  // When it was received, on RealClock's time line.
  absl::Duration received;
};

// From what on a loss counts, and how the robot learns.
struct RobotLoopOptions {
  absl::Duration control_period;
  // Share of the period, from its start, within which actuators must have answered.
  double reply_share = 0.5;
  // Ticks in a row that an actuator may stay silent.
  int max_missed_replies = 3;
  // Ticks in a row that the loop itself may miss.
  int max_missed_ticks = 5;
  absl::Duration max_imu_age = absl::InfiniteDuration();
  // A policy in use may be this old; without bound, a robot goes on for as long as the learner is away.
  absl::Duration max_policy_age = absl::InfiniteDuration();
  // Whether uniform random actions are taken where there is no policy, or before learning starts.
  bool random_actions_allowed = true;
  // The policy's mean instead of a draw from it: to show, not to learn.
  bool acts_by_mean = false;
  // A reset may take this long; then the episode begins where the robot is.
  absl::Duration max_reset_time = absl::Seconds(5);
  ArmingOptions arming;
};

// What a robot does in one tick, in this order: read sensors, check them, observe, act, safety envelope,
// write, record. Owned by the control loop's thread once it runs, except for what is said to be for others.
class RobotLoop final : public ControlLoopBody {
 public:
  // Borrows everything; `imu` may be null. Joints of task, bus and limits agree. Each tick's record goes to
  // `records`; one that finds it full is dropped and counted.
  struct Parts {
    RobotTask* task = nullptr;
    ActuatorBus* bus = nullptr;
    Imu* imu = nullptr;
    OperatorPanel* panel = nullptr;
    SpscRing<TickRecord>* records = nullptr;
    std::vector<JointLimits> limits;
  };

  RobotLoop(const RobotLoopOptions& options, Parts parts, uint64_t seed);

  void RunTick(const Tick& tick) override;

  // For one other thread: the policy to use from the next tick on, also within an episode. Old ones are
  // collected by any thread but the loop's.
  void OfferPolicy(std::unique_ptr<LoopPolicy> policy) { policies_.Offer(std::move(policy)); }
  void CollectOldPolicies() { policies_.Collect(); }

  // Any thread.
  // Random actions until told otherwise; then the policy's.
  void SetLearningStarted(bool started) { learning_started_.store(started, std::memory_order_relaxed); }
  uint64_t num_dropped_records() const { return num_dropped_.load(std::memory_order_relaxed); }

 private:
  enum class Phase : uint8_t { kIdle, kResetting, kEpisode };

  void ReadSensors(const Tick& tick);
  StopReason CheckSensors(const Tick& tick, ArmMode mode);
  bool ImuIsWell(absl::Duration now) const;
  bool RepliesAreMissing();
  void StepArming(const Tick& tick, bool arm, ArmMode mode, StopReason finding);
  void ChooseCommands(const Tick& tick);
  void CommandSafeAction(absl::Duration now);
  void JogJoints(absl::Duration now);
  double JoggedPosition(int joint, double velocity_rad_s);
  void RunEpisode(const Tick& tick);
  void BeginReset(absl::Duration now);
  void ContinueReset(const RobotMeasurement& measurement, absl::Duration now);
  void BeginEpisode(const RobotMeasurement& measurement);
  void ContinueEpisode(const RobotMeasurement& measurement, const Tick& tick);
  void Act(const RobotMeasurement& measurement);
  void ChooseAction(absl::Duration now);
  void ActByPolicy();
  void WriteCommands(absl::Duration now);
  void Record(const Tick& tick);
  RobotMeasurement Measurement(absl::Duration now);
  std::span<JointMeasurement> Measured() {
    return {record_.measured.data(), static_cast<size_t>(num_joints_)};
  }
  std::span<JointCommand> Requested() { return {record_.requested.data(), static_cast<size_t>(num_joints_)}; }
  std::span<JointCommand> Commanded() { return {record_.commanded.data(), static_cast<size_t>(num_joints_)}; }
  std::span<float> Observation() {
    return {record_.observation.data(), static_cast<size_t>(observation_size_)};
  }
  std::span<float> Action() { return {record_.action.data(), static_cast<size_t>(action_size_)}; }
  // Also of the safe action that ends a dry run.
  bool MotorsStayOff() const { return mode_ == ArmMode::kDryRun; }
  bool MotorsAct() const {
    return arming_.state() == RobotState::kArming || arming_.state() == RobotState::kArmed;
  }

  const RobotLoopOptions options_;
  const Parts parts_;
  const int num_joints_;
  const int observation_size_;
  const int action_size_;
  SafetyEnvelope envelope_;
  ArmingStateMachine arming_;
  Random random_;
  HandOver<LoopPolicy> policies_;
  std::unique_ptr<LoopPolicy> policy_;  // null before the first one
  std::atomic<bool> learning_started_ = false;
  std::atomic<uint64_t> num_dropped_ = 0;

  TickRecord record_;  // of this tick; measurements and commands stay from tick to tick
  std::array<int, kMaxJoints> missed_replies_{};
  bool bus_is_gone_ = false;
  bool bus_is_unwatched_ = false;
  BusResult::Code last_write_ = BusResult::Code::kOk;
  bool imu_has_spoken_ = false;
  std::array<double, kMaxJoints> held_position_rad_{};  // where kHold and jogging stay
  std::array<bool, kMaxJoints> is_jogged_{};
  ArmMode mode_ = ArmMode::kLearn;  // as it was armed last
  Intervention intervention_;
  Phase phase_ = Phase::kIdle;
  absl::Duration reset_started_;
  int episode_steps_ = 0;
};

}  // namespace demorl
