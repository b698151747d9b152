#include "common/robot/control/robot_loop.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "common/base/check.h"
#include "common/base/clock.h"

namespace demorl {
namespace {

// How far a jogged joint's target may be ahead of the joint.
constexpr double kMaxJogLeadRad = 0.1;

bool IsGone(BusResult::Code code) {
  return code == BusResult::Code::kClosed || code == BusResult::Code::kFailed;
}

template <size_t N>
bool AllFinite(const std::array<double, N>& values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

}  // namespace

RobotLoop::RobotLoop(const RobotLoopOptions& options, Parts parts, uint64_t seed)
    : options_(options),
      parts_(std::move(parts)),
      num_joints_(parts_.task->num_joints()),
      observation_size_(parts_.task->spec().observation_size),
      action_size_(parts_.task->spec().action_size),
      envelope_(parts_.limits, options.control_period),
      arming_(options.arming),
      random_(seed) {
  DEMORL_CHECK(parts_.bus->num_joints() == num_joints_ && parts_.limits.size() == num_joints_);
  DEMORL_CHECK(num_joints_ <= kMaxJoints && observation_size_ <= kMaxObservationSize &&
               action_size_ <= kMaxActionSize);
  // Who has never answered has not answered for too long.
  missed_replies_.fill(options.max_missed_replies + 1);
}

void RobotLoop::RunTick(const Tick& tick) {
  policies_.Take(policy_);
  ReadSensors(tick);
  const std::optional<ArmMode> arm = parts_.panel->TakeArm();
  // An armed robot keeps its mode.
  const ArmMode mode = MotorsAct() ? mode_ : arm.value_or(mode_);
  StepArming(tick, arm.has_value(), mode, CheckSensors(tick, mode));
  ChooseCommands(tick);
  WriteCommands(tick.woke);
  Record(tick);
}

RobotMeasurement RobotLoop::Measurement(absl::Duration now) {
  return {.time = now, .joints = Measured(), .imu = parts_.imu == nullptr ? nullptr : &record_.imu};
}

void RobotLoop::ReadSensors(const Tick& tick) {
  const std::span<JointMeasurement> joints = Measured();
  const absl::Duration deadline = tick.woke + options_.reply_share * options_.control_period;
  // Of the last tick's write.
  const BusResult::Code written = std::exchange(last_write_, BusResult::Code::kOk);
  const BusResult result = parts_.bus->Read(deadline, joints);
  bus_is_gone_ = IsGone(written) || IsGone(result.code);
  bus_is_unwatched_ = written == BusResult::Code::kUnwatched;
  for (int i = 0; i < num_joints_; ++i) {
    missed_replies_[i] = joints[i].fresh ? 0 : missed_replies_[i] + 1;
  }
  if (parts_.imu != nullptr && parts_.imu->Poll(record_.imu)) {
    imu_has_spoken_ = true;
  }
}

bool RobotLoop::ImuIsWell(absl::Duration now) const {
  const ImuSample& imu = record_.imu;
  return imu_has_spoken_ && now - imu.time <= options_.max_imu_age && AllFinite(imu.orientation) &&
         AllFinite(imu.angular_velocity_rad_s) && AllFinite(imu.acceleration_m_s2);
}

bool RobotLoop::RepliesAreMissing() {
  return bus_is_gone_ || std::any_of(missed_replies_.begin(), missed_replies_.begin() + num_joints_,
                                     [&](int missed) { return missed > options_.max_missed_replies; });
}

// What this tick has found, the gravest first; kNone if the robot may act.
StopReason RobotLoop::CheckSensors(const Tick& tick, ArmMode mode) {
  if (RepliesAreMissing()) {
    return StopReason::kRepliesLost;
  }
  if (bus_is_unwatched_) {
    return StopReason::kWatchdogLost;
  }
  if (const auto verdict = envelope_.CheckMeasurements(Measured()); verdict.reason != StopReason::kNone) {
    return verdict.reason;
  }
  if (parts_.imu != nullptr && !ImuIsWell(tick.woke)) {
    return StopReason::kSensorsLost;
  }
  if (tick.missed > static_cast<uint64_t>(options_.max_missed_ticks)) {
    return StopReason::kDeadlineMissed;
  }
  if (arming_.state() == RobotState::kArmed && !MotorsStayOff()) {
    if (const auto verdict = envelope_.CheckTracking(Measured(), Commanded());
        verdict.reason != StopReason::kNone) {
      return verdict.reason;
    }
  }
  if (mode != ArmMode::kJog) {
    const bool has_policy = policy_ != nullptr && tick.woke - policy_->received <= options_.max_policy_age;
    const bool may_act_at_random = options_.random_actions_allowed && policy_ == nullptr;
    return has_policy || may_act_at_random ? StopReason::kNone : StopReason::kPolicyStale;
  }
  return StopReason::kNone;
}

void RobotLoop::StepArming(const Tick& tick, bool arm, ArmMode mode, StopReason finding) {
  OperatorPanel& panel = *parts_.panel;
  const bool acted = MotorsAct();
  arming_.Step({.now = tick.woke,
                .arm = arm,
                .disarm = panel.TakeDisarm(),
                .clear_fault = panel.TakeClearFault(),
                .emergency_stop = panel.emergency_stop(),
                .lease_valid = panel.LeaseIsValid(tick.woke),
                .finding = finding});
  if (MotorsAct()) {
    mode_ = mode;
  }
  record_.state = arming_.state();
  record_.mode = mode_;
  record_.finding = finding;
  record_.reason = arming_.reason() != StopReason::kNone ? arming_.reason() : finding;
  if (MotorsAct() != acted) {
    // Where a safe action holds, and where jogging begins.
    for (int i = 0; i < num_joints_; ++i) {
      held_position_rad_[i] = record_.measured[i].position_rad;
    }
    envelope_.ForgetTorques();
    phase_ = Phase::kIdle;
  }
}

void RobotLoop::ChooseCommands(const Tick& tick) {
  record_.step = TickStep::kNone;
  record_.source = ActionSource::kNone;
  record_.terminated = false;
  record_.reward = 0;
  record_.random = random_.SaveState();
  record_.policy_version = policy_ == nullptr ? 0 : policy_->version;
  record_.requested.fill({});
  if (!MotorsAct()) {
    CommandSafeAction(tick.woke);
  } else if (mode_ == ArmMode::kJog) {
    JogJoints(tick.woke);
  } else {
    RunEpisode(tick);
  }
}

void RobotLoop::CommandSafeAction(absl::Duration now) {
  const SafeAction action =
      arming_.state() == RobotState::kDisarmed ? SafeAction::kFree : arming_.CurrentSafeAction(now);
  for (int i = 0; i < num_joints_; ++i) {
    record_.requested[i] = envelope_.SafeCommand(i, action, held_position_rad_[i]);
  }
}

void RobotLoop::JogJoints(absl::Duration now) {
  record_.source = ActionSource::kOperator;
  for (int i = 0; i < num_joints_; ++i) {
    const JointLimits& limits = envelope_.limits(i);
    const double velocity = std::clamp(parts_.panel->JogVelocity(i, now), -limits.maximum_velocity_rad_s,
                                       limits.maximum_velocity_rad_s);
    held_position_rad_[i] = JoggedPosition(i, velocity);
    record_.requested[i] = envelope_.SafeCommand(i, SafeAction::kHold, held_position_rad_[i]);
    record_.requested[i].velocity_rad_s = velocity;
  }
}

// Never far ahead of the joint, and where the joint is once the switch is let go: nothing is caught up.
double RobotLoop::JoggedPosition(int joint, double velocity_rad_s) {
  const double measured = record_.measured[joint].position_rad;
  if (velocity_rad_s == 0) {
    return std::exchange(is_jogged_[joint], false) ? measured : held_position_rad_[joint];
  }
  is_jogged_[joint] = true;
  const double target =
      held_position_rad_[joint] + velocity_rad_s * absl::ToDoubleSeconds(options_.control_period);
  const JointLimits& limits = envelope_.limits(joint);
  return std::clamp(std::clamp(target, measured - kMaxJogLeadRad, measured + kMaxJogLeadRad),
                    limits.minimum_position_rad, limits.maximum_position_rad);
}

void RobotLoop::RunEpisode(const Tick& tick) {
  const RobotMeasurement measurement = Measurement(tick.woke);
  if (phase_ == Phase::kEpisode) {
    ContinueEpisode(measurement, tick);
    return;
  }
  if (phase_ == Phase::kIdle) {
    BeginReset(tick.woke);
  }
  ContinueReset(measurement, tick.woke);
}

void RobotLoop::BeginReset(absl::Duration now) {
  phase_ = Phase::kResetting;
  reset_started_ = now;
}

// Under way only once armed: a ramp's torque may not be enough to stop what it has set in motion.
void RobotLoop::ContinueReset(const RobotMeasurement& measurement, absl::Duration now) {
  record_.source = ActionSource::kReset;
  if (arming_.state() != RobotState::kArmed) {
    reset_started_ = now;
  }
  const absl::Duration under_way = now - reset_started_;
  const bool there = parts_.task->Reset(measurement, under_way, Requested());
  // A tick that ends an episode does not begin the next.
  const bool may_begin = arming_.state() == RobotState::kArmed && record_.step == TickStep::kNone;
  if (may_begin && (there || under_way >= options_.max_reset_time || MotorsStayOff())) {
    BeginEpisode(measurement);
  }
}

void RobotLoop::BeginEpisode(const RobotMeasurement& measurement) {
  phase_ = Phase::kEpisode;
  episode_steps_ = 0;
  parts_.task->BeginEpisode(measurement, random_);
  record_.random = random_.SaveState();
  record_.step = TickStep::kFirst;
  parts_.task->Observe(measurement, Observation());
  Act(measurement);
}

void RobotLoop::ContinueEpisode(const RobotMeasurement& measurement, const Tick& tick) {
  const int num_periods = static_cast<int>(tick.missed) + 1;
  const RobotTask::Outcome outcome = parts_.task->Evaluate(measurement, num_periods);
  episode_steps_ += num_periods;
  record_.reward = outcome.reward;
  record_.terminated = outcome.terminated;
  parts_.task->Observe(measurement, Observation());
  const int max_steps = parts_.task->spec().max_episode_steps;
  if (outcome.terminated || (max_steps > 0 && episode_steps_ >= max_steps)) {
    record_.step = TickStep::kLast;
    BeginReset(tick.woke);
    ContinueReset(measurement, tick.woke);
    return;
  }
  record_.step = TickStep::kMid;
  Act(measurement);
}

void RobotLoop::Act(const RobotMeasurement& measurement) {
  ChooseAction(measurement.time);
  parts_.task->Command(measurement, Action(), Requested());
}

void RobotLoop::ChooseAction(absl::Duration now) {
  parts_.panel->ReadIntervention(intervention_);
  if (now < intervention_.expiry) {
    record_.source = ActionSource::kOperator;
    record_.policy_version = 0;
    std::copy_n(intervention_.action.begin(), action_size_, Action().begin());
    return;
  }
  const bool by_policy = policy_ != nullptr && (learning_started_.load(std::memory_order_relaxed) ||
                                                !options_.random_actions_allowed);
  if (!by_policy) {
    record_.source = ActionSource::kRandom;
    record_.policy_version = 0;
    for (float& value : Action()) {
      value = static_cast<float>(random_.Uniform(-1, 1));
    }
    return;
  }
  ActByPolicy();
}

void RobotLoop::ActByPolicy() {
  record_.source = ActionSource::kPolicy;
  if (options_.acts_by_mean) {
    policy_->network->Mean(Observation(), Action());
  } else {
    policy_->network->Sample(Observation(), random_, Action());
  }
}

void RobotLoop::WriteCommands(absl::Duration now) {
  record_.torque_share = MotorsAct() ? arming_.TorqueShare(now) : 1;
  record_.envelope = envelope_.SaveState();
  record_.commanded = record_.requested;
  record_.clamps = envelope_.Apply(Measured(), record_.torque_share, Commanded());
  if (MotorsStayOff()) {
    // Records keep what would have been sent.
    const std::array<JointCommand, kMaxJoints> off{};
    last_write_ = parts_.bus->Write({off.data(), static_cast<size_t>(num_joints_)}).code;
    record_.step = TickStep::kNone;
    return;
  }
  last_write_ = parts_.bus->Write(Commanded()).code;
}

void RobotLoop::Record(const Tick& tick) {
  record_.index = tick.index;
  record_.scheduled_ns = absl::ToInt64Nanoseconds(tick.scheduled);
  record_.woke_ns = absl::ToInt64Nanoseconds(tick.woke);
  record_.finished_ns = absl::ToInt64Nanoseconds(RealClock::Get().Now());
  if (!parts_.records->TryPush(record_)) {
    num_dropped_.fetch_add(1, std::memory_order_relaxed);
  }
}

}  // namespace demorl
