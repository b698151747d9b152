#include "services/leg_gateway/core/leg_robot_task.h"

#include <algorithm>
#include <cmath>

#include "absl/memory/memory.h"
#include "common/base/status_macros.h"
#include "common/env/tasks/leg/leg_variants.h"

namespace demorl {
namespace {

// The way to the start takes this long, then the leg must be still there.
constexpr absl::Duration kResetTime = absl::Milliseconds(700);
constexpr double kResetStiffnessNmRad = 25;
constexpr double kResetDampingNmSRad = 0.6;
// Counted as there; simulated episodes begin within 0.02 rad and at rest.
constexpr double kThereRad = 0.05;
constexpr double kAtRestRadS = 0.3;

LegState ToLegState(const RobotMeasurement& measurement) {
  LegState state;
  for (size_t i = 0; i < state.joint_position_rad.size(); ++i) {
    state.joint_position_rad[i] = measurement.joints[i].position_rad;
    state.joint_velocity_rad_s[i] = measurement.joints[i].velocity_rad_s;
  }
  return state;
}

JointCommand Torque(double torque_nm) { return {.mode = ActuatorMode::kTorque, .torque_nm = torque_nm}; }

}  // namespace

absl::StatusOr<std::unique_ptr<LegRobotTask>> LegRobotTask::Create(absl::string_view environment_id) {
  ASSIGN_OR_RETURN(const LegParameters parameters, FindLegParameters(environment_id));
  return absl::WrapUnique(new LegRobotTask(environment_id, parameters));
}

LegRobotTask::LegRobotTask(absl::string_view environment_id, const LegParameters& parameters)
    : spec_(MakeLegSpec(environment_id, parameters)), task_(parameters) {}

bool LegRobotTask::Reset(const RobotMeasurement& measurement, absl::Duration under_way,
                         std::span<JointCommand> commands) {
  const LegState state = ToLegState(measurement);
  if (under_way <= absl::ZeroDuration()) {
    reset_from_rad_ = state.joint_position_rad;
  }
  const double share = std::min(absl::FDivDuration(under_way, kResetTime), 1.0);
  const LegVector start = task_.StartJointPositions();
  bool there = share >= 1;
  for (size_t i = 0; i < commands.size(); ++i) {
    const double target = reset_from_rad_[i] + share * (start[i] - reset_from_rad_[i]);
    const double velocity = state.joint_velocity_rad_s[i];
    commands[i] = Torque(kResetStiffnessNmRad * (target - state.joint_position_rad[i]) -
                         kResetDampingNmSRad * velocity);
    there = there && std::abs(start[i] - state.joint_position_rad[i]) < kThereRad &&
            std::abs(velocity) < kAtRestRadS;
  }
  return there;
}

void LegRobotTask::BeginEpisode(const RobotMeasurement&, Random&) { task_.Reset(); }

RobotTask::Outcome LegRobotTask::Evaluate(const RobotMeasurement& measurement, int num_periods) {
  for (int i = 0; i < num_periods; ++i) {
    task_.Advance();
  }
  const LegTask::Outcome outcome = task_.Evaluate(ToLegState(measurement));
  return {.reward = outcome.reward, .terminated = outcome.terminated};
}

void LegRobotTask::Observe(const RobotMeasurement& measurement, std::span<float> observation) {
  task_.Observe(ToLegState(measurement), observation);
}

void LegRobotTask::Command(const RobotMeasurement&, std::span<const float> action,
                           std::span<JointCommand> commands) {
  const LegVector torques_nm = task_.JointTorques({action[0], action[1]});
  for (size_t i = 0; i < commands.size(); ++i) {
    commands[i] = Torque(torques_nm[i]);
  }
}

}  // namespace demorl
