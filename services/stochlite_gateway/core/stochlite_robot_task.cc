#include "services/stochlite_gateway/core/stochlite_robot_task.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "absl/memory/memory.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/env/tasks/stochlite/observation.h"
#include "common/env/tasks/stochlite/reward.h"

namespace demorl {
namespace {

using stochlite::BodyReading;
using stochlite::kJointsPerLeg;
using stochlite::kLegs;
using stochlite::kNumJoints;
using stochlite::Leg;
using stochlite::ObservationSet;

// The servos of the twin, for drivers that take gains; B3M servos keep their own.
constexpr double kStiffnessNmRad = 400;
constexpr double kDampingNmSRad = 10;
constexpr double kMaxTorqueNm = 7;

// The way to the stance takes at least this long, and no joint turns faster than that.
constexpr absl::Duration kMinResetTime = absl::Seconds(1);
constexpr double kMaxResetSpeedRadS = 2;
// Then the torso may come to rest.
constexpr absl::Duration kSettleTime = absl::Milliseconds(200);
// What counts as there. A servo that only has a stiffness gives way under the robot's weight.
constexpr double kThereRad = 0.15;
constexpr double kAtRestRadS = 0.5;
// Steeper than any ground that the task knows.
constexpr double kUprightRad = 20 * std::numbers::pi / 180;

BodyReading ReadingOf(const RobotMeasurement& measurement) {
  DEMORL_CHECK(measurement.imu != nullptr);
  BodyReading reading;
  for (const Leg leg : kLegs) {
    const auto joints = measurement.joints.subspan(kJointsPerLeg * Index(leg), kJointsPerLeg);
    reading.joints[Index(leg)] = {joints[0].position_rad, joints[1].position_rad, joints[2].position_rad};
    reading.joint_rates[Index(leg)] = {joints[0].velocity_rad_s, joints[1].velocity_rad_s,
                                       joints[2].velocity_rad_s};
  }
  reading.attitude = stochlite::AttitudeFromQuaternion(measurement.imu->orientation);
  reading.angular_velocity_rad_s = measurement.imu->angular_velocity_rad_s;
  return reading;
}

double JointPower_w(const RobotMeasurement& measurement) {
  double power = 0;
  for (const JointMeasurement& joint : measurement.joints) {
    power += std::abs(joint.torque_nm * joint.velocity_rad_s);
  }
  return power;
}

JointCommand Position(double position_rad) {
  return {.mode = ActuatorMode::kPosition,
          .position_rad = position_rad,
          .stiffness_nm_rad = kStiffnessNmRad,
          .damping_nm_s_rad = kDampingNmSRad,
          .max_torque_nm = kMaxTorqueNm};
}

}  // namespace

absl::StatusOr<std::unique_ptr<StochLiteRobotTask>> StochLiteRobotTask::Create(
    absl::string_view environment_id) {
  ASSIGN_OR_RETURN(const stochlite::TwinOptions options, stochlite::FindStochLiteOptions(environment_id));
  return absl::WrapUnique(new StochLiteRobotTask(environment_id, options));
}

StochLiteRobotTask::StochLiteRobotTask(absl::string_view environment_id,
                                       const stochlite::TwinOptions& options)
    : spec_(stochlite::TwinSpec(std::string(environment_id), options.observation)),
      options_(options),
      generator_(stochlite::kControlPeriod_s, options.smoothing_time_s),
      estimate_(stochlite::kControlPeriod_s),
      stance_rad_(stochlite::SolveLegs(stochlite::TrotGenerator(stochlite::kControlPeriod_s).feet_m())) {}

void StochLiteRobotTask::BeginReset(const RobotMeasurement& measurement) {
  double farthest_rad = 0;
  for (int i = 0; i < kNumJoints; ++i) {
    reset_from_rad_[i] = measurement.joints[i].position_rad;
    farthest_rad = std::max(farthest_rad, std::abs(stance_rad_[i] - reset_from_rad_[i]));
  }
  // In the middle it is half as fast again as on average.
  reset_time_ = std::max(kMinResetTime, absl::Seconds(1.5 * farthest_rad / kMaxResetSpeedRadS));
}

bool StochLiteRobotTask::Reset(const RobotMeasurement& measurement, absl::Duration under_way,
                               std::span<JointCommand> commands) {
  if (under_way <= absl::ZeroDuration()) {
    BeginReset(measurement);
  }
  const double time = std::clamp(absl::FDivDuration(under_way, reset_time_), 0.0, 1.0);
  // Begins and ends at rest.
  const double share = time * time * (3 - 2 * time);
  for (int i = 0; i < kNumJoints; ++i) {
    commands[i] = Position(reset_from_rad_[i] + share * (stance_rad_[i] - reset_from_rad_[i]));
  }
  return under_way >= reset_time_ + kSettleTime && StandsUpright(measurement);
}

bool StochLiteRobotTask::StandsUpright(const RobotMeasurement& measurement) const {
  for (int i = 0; i < kNumJoints; ++i) {
    const JointMeasurement& joint = measurement.joints[i];
    if (!(std::abs(joint.position_rad - stance_rad_[i]) < kThereRad &&
          std::abs(joint.velocity_rad_s) < kAtRestRadS)) {
      return false;
    }
  }
  const BodyReading reading = ReadingOf(measurement);
  return std::abs(reading.attitude.roll_rad) < kUprightRad &&
         std::abs(reading.attitude.pitch_rad) < kUprightRad &&
         std::ranges::all_of(reading.angular_velocity_rad_s,
                             [](double rate) { return std::abs(rate) < kAtRestRadS; });
}

void StochLiteRobotTask::BeginEpisode(const RobotMeasurement& measurement, Random& random) {
  const BodyReading reading = ReadingOf(measurement);
  generator_.Reset();
  estimate_.Reset(reading);
  // The twin's draw, of which the ground, masses and pushes are here as they are.
  command_ = DrawEpisode(options_.randomisation, random).command;
  commanded_heading_rad_ = reading.attitude.yaw_rad;
  UpdateState(reading);
}

RobotTask::Outcome StochLiteRobotTask::Evaluate(const RobotMeasurement& measurement, int num_periods) {
  commanded_heading_rad_ += command_.yaw_rate_rad_s * stochlite::kControlPeriod_s * num_periods;
  stochlite::PerLeg<bool> firm_stance;
  for (const Leg leg : kLegs) {
    firm_stance[Index(leg)] = generator_.InFirmStance(leg);
  }
  const BodyReading reading = ReadingOf(measurement);
  estimate_.Update(reading, firm_stance);
  UpdateState(reading);
  std::array<float, ObservationSize(ObservationSet::kFull)> observation;
  const std::span<float> used = std::span(observation).first(spec_.observation_size);
  Observe(measurement, used);
  if (TerminationRuleOf(options_.observation)(used)) {
    return {.reward = 0, .terminated = true};
  }
  return {.reward = StepReward(state_, state_.plane, JointPower_w(measurement))};
}

void StochLiteRobotTask::UpdateState(const BodyReading& reading) {
  state_.height_m = estimate_.height_m();
  state_.attitude = reading.attitude;
  state_.attitude.yaw_rad = stochlite::WrapAngle(reading.attitude.yaw_rad - commanded_heading_rad_);
  state_.velocity_m_s = stochlite::TurnAboutVertical(estimate_.velocity_m_s(), state_.attitude.yaw_rad);
  state_.angular_velocity_rad_s = stochlite::TurnAboutVertical(
      TorsoToHeading(reading.attitude, reading.angular_velocity_rad_s), state_.attitude.yaw_rad);
  state_.plane = estimate_.plane();
  state_.command = command_;
  state_.gait_phase_rad = generator_.Phase(Leg::kFrontLeft);
  state_.gait = generator_.state().gait;
}

void StochLiteRobotTask::Observe(const RobotMeasurement&, std::span<float> observation) {
  std::array<double, ObservationSize(ObservationSet::kFull)> values;
  const std::span<double> used = std::span(values).first(observation.size());
  WriteObservation(options_.observation, state_, used);
  std::ranges::copy(used, observation.begin());
}

void StochLiteRobotTask::Command(const RobotMeasurement&, std::span<const float> action,
                                 std::span<JointCommand> commands) {
  std::array<double, stochlite::kActionSize> values;
  std::ranges::copy(action, values.begin());
  const std::array<double, kNumJoints> positions_rad =
      stochlite::SolveLegs(generator_.Step(stochlite::GaitFromAction(values)));
  std::ranges::transform(positions_rad, commands.begin(), Position);
}

}  // namespace demorl
