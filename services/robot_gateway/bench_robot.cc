#include "services/robot_gateway/bench_robot.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/clock.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"

namespace demorl {
namespace {

constexpr int kObservations = 8;
constexpr int kActions = 2;

void AddLayer(const std::string& name, int outputs, int inputs, Random& random, TensorFile& file) {
  NamedTensor weight{.shape = {outputs, inputs}, .values = std::vector<float>(outputs * inputs)};
  for (float& value : weight.values) {
    value = static_cast<float>(random.Normal() / std::sqrt(inputs));
  }
  file.tensors[name + ".weight"] = std::move(weight);
  file.tensors[name + ".bias"] = {.shape = {outputs}, .values = std::vector<float>(outputs)};
}

}  // namespace

BusResult InstantBus::Read(absl::Duration /*deadline*/, std::span<JointMeasurement> measurements) {
  const absl::Duration now = RealClock::Get().Now();
  for (JointMeasurement& joint : measurements) {
    joint = {.time = now, .fresh = true, .position_rad = 0.3, .velocity_rad_s = 0.1, .voltage_v = 24};
  }
  return {};
}

LegSizedTask::LegSizedTask()
    : spec_{.environment_id = "LegSized-v0",
            .observation_size = kObservations,
            .action_size = kActions,
            .command_minimum = std::vector<double>(kActions, -1),
            .command_maximum = std::vector<double>(kActions, 1),
            .control_period = kBenchPeriod,
            .max_episode_steps = 450} {}

RobotTask::Outcome LegSizedTask::Evaluate(const RobotMeasurement& measurement, int num_periods) {
  phase_ += 0.01 * num_periods;
  const double error = measurement.joints[0].position_rad - std::sin(phase_);
  return {.reward = std::exp(-error * error)};
}

void LegSizedTask::Observe(const RobotMeasurement& measurement, std::span<float> observation) {
  observation[0] = static_cast<float>(std::sin(phase_));
  observation[1] = static_cast<float>(std::cos(phase_));
  for (int i = 0; i < 2; ++i) {
    observation[2 + i] = static_cast<float>(measurement.joints[i].position_rad);
    observation[4 + i] = static_cast<float>(measurement.joints[i].velocity_rad_s);
    observation[6 + i] = last_action_[i];
  }
}

void LegSizedTask::Command(const RobotMeasurement&, std::span<const float> action,
                           std::span<JointCommand> commands) {
  for (int i = 0; i < kActions; ++i) {
    commands[i] = {.mode = ActuatorMode::kTorque, .torque_nm = action[i]};
    last_action_[i] = action[i];
  }
}

std::vector<JointLimits> LegSizedLimits() {
  return std::vector<JointLimits>(2, {.joint_name = "joint",
                                      .minimum_position_rad = -2,
                                      .maximum_position_rad = 2,
                                      .soft_zone_rad = 0.1,
                                      .soft_zone_stiffness_nm_rad = 10,
                                      .maximum_velocity_rad_s = 20,
                                      .maximum_torque_nm = 2,
                                      .maximum_torque_rate_nm_s = 500,
                                      .safe_damping_nm_s_rad = 0.2,
                                      .hold_stiffness_nm_rad = 5});
}

TensorFile RandomLegPolicy(uint64_t seed) {
  Random random(seed);
  TensorFile file;
  AddLayer("policy.hidden.0", 256, kObservations, random, file);
  AddLayer("policy.hidden.1", 256, 256, random, file);
  AddLayer("policy.mean", kActions, 256, random, file);
  AddLayer("policy.log_stddev", kActions, 256, random, file);
  file.metadata = {{"log_stddev_min", "-20"}, {"log_stddev_max", "2"}};
  return file;
}

absl::StatusOr<std::unique_ptr<LoopPolicy>> MakeLoopPolicy(const TensorFile& file, uint64_t version) {
  auto policy = std::make_unique<LoopPolicy>();
  ASSIGN_OR_RETURN(policy->network, MlpPolicy::Create(file, kObservations, kActions));
  policy->version = version;
  policy->received = RealClock::Get().Now();
  return policy;
}

BenchRobot::BenchRobot()
    : bus_(2),
      records_(4096),
      // A long stall of the machine is to be measured, not to disarm the robot.
      robot_loop_(
          {.control_period = kBenchPeriod, .max_missed_ticks = 1 << 20, .random_actions_allowed = false},
          {.task = &task_, .bus = &bus_, .panel = &panel_, .records = &records_, .limits = LegSizedLimits()},
          /*seed=*/1) {
  robot_loop_.SetLearningStarted(true);
  panel_.SetLeaseExpiry(absl::InfiniteDuration());
  panel_.RequestArm(ArmMode::kLearn);
}

void BenchRobot::TickHere(const Tick& tick) {
  robot_loop_.RunTick(tick);
  records_.TryPop(record_);
}

absl::Status BenchRobot::OfferPolicy(const TensorFile& file) {
  ASSIGN_OR_RETURN(auto policy, MakeLoopPolicy(file, ++policy_version_));
  robot_loop_.OfferPolicy(std::move(policy));
  return absl::OkStatus();
}

absl::Status BenchRobot::Start(const RealtimeOptions& realtime) {
  RETURN_IF_ERROR(OfferPolicy(RandomLegPolicy(1)));
  ASSIGN_OR_RETURN(control_loop_,
                   ControlLoop::Start({.period = kBenchPeriod, .realtime = realtime}, &robot_loop_));
  const absl::Duration give_up = RealClock::Get().Now() + absl::Seconds(10);
  ActionSource source = ActionSource::kNone;
  while (source != ActionSource::kPolicy && RealClock::Get().Now() < give_up) {
    absl::SleepFor(absl::Milliseconds(20));
    Drain([](const TickTiming&) {},
          [&](const TickRecord& record) {
            source = record.source;
            phase_ = absl::Nanoseconds(record.scheduled_ns) % kBenchPeriod;
          });
  }
  return source == ActionSource::kPolicy ? absl::OkStatus()
                                         : absl::FailedPreconditionError(absl::StrCat(
                                               "the robot's policy does not act after 10 s; it is ",
                                               Name(record_.state), ", ", Name(record_.reason)));
}

void BenchRobot::Drain(absl::FunctionRef<void(const TickTiming&)> on_timing,
                       absl::FunctionRef<void(const TickRecord&)> on_record) {
  control_loop_->TakeTimings(on_timing);
  while (records_.TryPop(record_)) {
    on_record(record_);
  }
}

}  // namespace demorl
