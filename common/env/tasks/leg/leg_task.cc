#include "common/env/tasks/leg/leg_task.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/base/check.h"

namespace demorl {
namespace {

// Weights of position and velocity in eq. 15.
constexpr double kPositionWeight = 0.8;
constexpr double kVelocityWeight = 0.2;

double SquaredDistance(const LegVector& a, const LegVector& b) {
  return (a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1]);
}

FootPath MakePath(const LegParameters& parameters) {
  return FootPath(parameters.path_half_length_m, parameters.path_base_m, parameters.path_lift_m);
}

bool IsInside(const JointRange& range, double position_rad) {
  return position_rad >= range.min_rad && position_rad <= range.max_rad;
}

}  // namespace

LegTask::LegTask(const LegParameters& parameters)
    : parameters_(parameters),
      kinematics_(parameters.Kinematics()),
      path_(MakePath(parameters)),
      phase_step_(parameters.PhaseStep()),
      phase_rate_rad_s_(2 * std::numbers::pi * parameters.path_frequency_hz) {
  DEMORL_CHECK(Validate(parameters).ok());
}

void LegTask::Observe(const LegState& state, std::span<double> observation) const {
  FillObservation(state, observation);
}

void LegTask::Observe(const LegState& state, std::span<float> observation) const {
  FillObservation(state, observation);
}

template <typename Number>
void LegTask::FillObservation(const LegState& state, std::span<Number> observation) const {
  DEMORL_CHECK(observation.size() == parameters_.observation_size());
  auto next = observation.begin();
  const auto append = [&next](double value) { *next++ = static_cast<Number>(value); };
  const auto append_both = [&append](const LegVector& values, double unit = 1) {
    append(values[0] / unit);
    append(values[1] / unit);
  };
  const LegObservation form = parameters_.observation;
  if (form == LegObservation::kTracking) {
    const LegVector foot = kinematics_.FootPosition(state.joint_position_rad),
                    desired = DesiredFootPosition();
    append_both({std::cos(memory_.phase), std::sin(memory_.phase)});
    append_both(state.joint_position_rad);
    append_both(state.joint_velocity_rad_s, kLegVelocityUnit_rad_s);
    append_both({foot[0] - desired[0], foot[1] - desired[1]}, kLegOffsetUnit_m);
    return;
  }
  append(memory_.phase);
  append_both(state.joint_position_rad);
  if (form != LegObservation::kPositions) {
    append_both(state.joint_velocity_rad_s);
  }
  if (form == LegObservation::kAuthors) {
    append_both(memory_.last_action);
  }
}

LegVector LegTask::JointTorques(const LegVector& action) {
  LegVector torque;
  for (const int joint : {0, 1}) {
    const double clipped = std::clamp(action[joint], -1.0, 1.0);
    const double applied =
        parameters_.mean_of_two_actions ? (clipped + memory_.last_action[joint]) / 2 : clipped;
    torque[joint] = parameters_.max_joint_torque_nm[joint] * applied;
    memory_.last_action[joint] = clipped;
  }
  return torque;
}

void LegTask::Advance() {
  memory_.phase += phase_step_;
  if (memory_.phase >= 2 * std::numbers::pi) {
    memory_.phase -= 2 * std::numbers::pi;
  }
  ++memory_.elapsed_steps;
}

LegTask::Outcome LegTask::Evaluate(const LegState& state) const {
  const double position_error =
      SquaredDistance(kinematics_.FootPosition(state.joint_position_rad), DesiredFootPosition());
  const double velocity_error = SquaredDistance(
      kinematics_.FootVelocity(state.joint_position_rad, state.joint_velocity_rad_s), DesiredFootVelocity());
  const double position_scale = parameters_.position_scale_m, velocity_scale = parameters_.velocity_scale_m_s;
  return {.reward = kPositionWeight * std::exp(-position_error / (position_scale * position_scale)) +
                    kVelocityWeight * std::exp(-velocity_error / (velocity_scale * velocity_scale)),
          .terminated = memory_.elapsed_steps >= parameters_.termination_free_steps &&
                        IsLegOutOfBounds(parameters_, memory_.phase, state.joint_position_rad)};
}

LegVector LegTask::StartJointPositions() const { return *kinematics_.JointPositions(path_.PositionAt(0)); }

bool IsLegOutOfBounds(const LegParameters& parameters, double phase, const LegVector& joint_position_rad) {
  const double limit = parameters.max_foot_error_m;
  const LegVector foot = parameters.Kinematics().FootPosition(joint_position_rad);
  // Comparisons with a number that is not finite are false.
  const bool inside = IsInside(parameters.hip_range, joint_position_rad[0]) &&
                      IsInside(parameters.knee_range, joint_position_rad[1]) &&
                      SquaredDistance(foot, MakePath(parameters).PositionAt(phase)) <= limit * limit;
  return !inside;
}

bool IsLegOutOfBounds(const LegParameters& parameters, std::span<const float> observation) {
  DEMORL_CHECK(observation.size() == parameters.observation_size());
  if (!std::ranges::all_of(observation, [](float value) { return std::isfinite(value); })) {
    return true;
  }
  const bool tracking = parameters.observation == LegObservation::kTracking;
  const double phase = tracking ? std::atan2(observation[1], observation[0]) : observation[0];
  const auto joints = observation.subspan(tracking ? 2 : 1);
  return IsLegOutOfBounds(parameters, phase, {joints[0], joints[1]});
}

EnvironmentSpec MakeLegSpec(absl::string_view environment_id, const LegParameters& parameters) {
  const LegVector& limit = parameters.max_joint_torque_nm;
  return {.environment_id = std::string(environment_id),
          .observation_size = parameters.observation_size(),
          .action_size = 2,
          .command_minimum = {-limit[0], -limit[1]},
          .command_maximum = {limit[0], limit[1]},
          .control_period = parameters.control_period,
          .max_episode_steps = parameters.max_episode_steps};
}

}  // namespace demorl
